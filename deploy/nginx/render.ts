// Renders the proxy configuration: `npm run nginx:render -- --help`.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readEnvFile } from '#cli/env-file.ts';
import { isProblemCode } from '#contracts/problems.ts';
import { renderProxyConfig } from './proxy-config.ts';
import { fail, say } from '#deploy/output.ts';

const usage = `Usage: npm run nginx:render -- OPTIONS (--stdout | --output-path FILE)

  --server-name NAME        host name that browsers and devices use
  --tls-cert-path FILE      certificate chain of the proxy (PEM)
  --tls-key-path FILE       its key (PEM)
  --client-ca-path FILE     authorities of device certificates (PEM)
  --upstream-url URL        the API's plain listener (default http://127.0.0.1:8000, or SENTINEL_HTTP_PORT of the env file)
  --listen [ADDRESS:]PORT   where the proxy listens (default 443)
  --env-file FILE           takes SENTINEL_PROXY_SHARED_SECRET and SENTINEL_HTTP_PORT from the API's settings
  --proxy-secret-file FILE  takes the secret from a file of its own
  --output-path FILE        writes the configuration, readable by its owner only
  --stdout                  prints it, with the secret
`;

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  let values: ReturnType<typeof readArguments>;
  try {
    values = readArguments(args);
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`, 2);
  }
  if (values.help === true) return say(usage);
  if (Boolean(values.stdout) === (values['output-path'] !== undefined))
    return fail(`Say --stdout or --output-path.\n\n${usage}`, 2);
  try {
    const text = renderProxyConfig(optionsFrom(values));
    if (values['output-path'] === undefined) return say(text);
    writePrivately(values['output-path'], text);
    return 0;
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    return fail(message, isProblemCode(code) ? 2 : 1);
  }
}

function readArguments(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  return parseArgs({
    args: [...args],
    allowPositionals: false,
    options: {
      'server-name': text,
      'tls-cert-path': text,
      'tls-key-path': text,
      'client-ca-path': text,
      'upstream-url': text,
      listen: text,
      'env-file': text,
      'proxy-secret-file': text,
      'output-path': text,
      stdout: flag,
      help: flag,
    },
  }).values;
}

function optionsFrom(values: ReturnType<typeof readArguments>) {
  const environment = values['env-file'] === undefined ? {} : readEnvFile(values['env-file']);
  const secretFile = values['proxy-secret-file'];
  const port = environment['SENTINEL_HTTP_PORT'] ?? '8000';
  return {
    serverName: values['server-name'] ?? '',
    tlsCertPath: values['tls-cert-path'] ?? '',
    tlsKeyPath: values['tls-key-path'] ?? '',
    clientCaPath: values['client-ca-path'] ?? '',
    upstreamUrl: values['upstream-url'] ?? `http://127.0.0.1:${port}`,
    listen: values.listen ?? '443',
    proxySecret:
      secretFile === undefined
        ? (environment['SENTINEL_PROXY_SHARED_SECRET'] ?? '')
        : readFileSync(secretFile, 'utf8').trim(),
  };
}

/** A new file, since the mode of one that exists would stay as it is. */
function writePrivately(path: string, text: string): void {
  rmSync(path, { force: true });
  writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
}

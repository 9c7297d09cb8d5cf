// Checks a Sentinel behind a proxy from outside: `npm run nginx:smoke -- --help`.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Agent, fetch } from 'undici';
import { isDeviceId } from '#contracts/ids.ts';
import { type Fetch, runSmokeChecks } from './smoke-checks.ts';

const usage = `Usage: npm run nginx:smoke -- --base-url https://NAME [OPTIONS]

  --ca-file FILE      authority of the proxy's certificate (PEM), when it is a private one
  --insecure          does not verify the proxy; for a single deliberate check
  --client-cert FILE  certificate of a device (PEM), with --client-key and --device-id:
  --client-key FILE   sends a heartbeat as that device, with the counter 1. A device that is not known
  --device-id ID      yet asks for enrollment by that
`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let options: ReturnType<typeof readArguments>;
  try {
    options = readArguments(args);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (options === null) {
    process.stdout.write(usage);
    return 0;
  }
  const { baseUrl, ca, insecure, device } = options;
  const trust = { ...(ca === undefined ? {} : { ca }), rejectUnauthorized: !insecure, timeout: 5_000 };
  const plain = new Agent({ connect: trust });
  const asDevice = device && new Agent({ connect: { ...trust, cert: device.certificate, key: device.key } });
  try {
    const results = await runSmokeChecks({
      baseUrl,
      fetch: via(plain),
      ...(device && asDevice ? { device: { fetch: via(asDevice), deviceId: device.deviceId } } : {}),
    });
    for (const { check, passed, detail } of results)
      process.stdout.write(`${passed ? 'ok  ' : 'FAIL'}  ${check}${passed ? '' : ` (got ${detail})`}\n`);
    return results.every(({ passed }) => passed) ? 0 : 1;
  } finally {
    await Promise.all([plain.destroy(), asDevice?.destroy()]);
  }
}

function via(dispatcher: Agent): Fetch {
  return (url, init) => fetch(url, { ...init, dispatcher, redirect: 'manual' });
}

/** @returns null when help is asked for */
function readArguments(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      'base-url': text,
      'ca-file': text,
      'client-cert': text,
      'client-key': text,
      'device-id': text,
      insecure: flag,
      help: flag,
    },
  });
  if (values.help === true) return null;
  const baseUrl = values['base-url'];
  if (baseUrl === undefined || !URL.canParse(baseUrl) || new URL(baseUrl).protocol !== 'https:')
    throw new RangeError('Say --base-url https://NAME.');
  const caFile = values['ca-file'];
  return {
    baseUrl,
    ca: caFile === undefined ? undefined : readFileSync(caFile, 'utf8'),
    insecure: values.insecure ?? false,
    device: deviceFrom(values['client-cert'], values['client-key'], values['device-id']),
  };
}

function deviceFrom(certificate: string | undefined, key: string | undefined, deviceId: string | undefined) {
  if (certificate === undefined && key === undefined && deviceId === undefined) return undefined;
  if (certificate === undefined || key === undefined || !isDeviceId(deviceId))
    throw new RangeError('Say all of --client-cert, --client-key and --device-id, or none.');
  return { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8'), deviceId };
}

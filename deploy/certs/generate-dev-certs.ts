// Makes development certificates: `npm run certs -- --help`. What is there already stays, so it can be run again.
import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { fail, say } from '#deploy/output.ts';

const usage = `Usage: npm run certs [-- --out DIR] [--device DEVICE_ID]

Makes an authority and a server certificate for localhost: ca.crt, ca.key, server.crt and server.key.

  --out DIR           where they are (default deploy/certs/out)
  --device DEVICE_ID  also issues DEVICE_ID.crt and DEVICE_ID.key, which must not be there yet
`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let values: ReturnType<typeof readArguments>;
  try {
    values = readArguments(args);
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`, 2);
  }
  if (values.help === true) return say(usage);
  try {
    return say(await generate(values.out ?? fileURLToPath(new URL('out', import.meta.url)), values.device));
  } catch (error) {
    const { message } = error as Error;
    return fail(message, error instanceof TrustError && error.code === 'request.invalid' ? 2 : 1);
  }
}

function readArguments(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: false,
    options: { out: { type: 'string' }, device: { type: 'string' }, help: { type: 'boolean' } },
  }).values;
}

/** Says what was made, as the settings that use it. */
async function generate(directory: string, deviceId: string | undefined): Promise<string> {
  const ca = await createDevelopmentCa(directory, { clock: systemClock, random: systemRandom });
  const path = (name: string): string => relative(process.cwd(), join(directory, name)) || name;
  if (deviceId !== undefined) {
    const device = await ca.issueDevice({ deviceId });
    await writeFile(join(directory, `${deviceId}.key`), device.keyPem, { mode: 0o600, flag: 'wx' });
    await writeFile(join(directory, `${deviceId}.crt`), device.certificatePem, { flag: 'wx' });
  }
  return `SENTINEL_TLS_CERT=${path('server.crt')}
SENTINEL_TLS_KEY=${path('server.key')}
SENTINEL_TLS_CA=${path('ca.crt')}
`;
}

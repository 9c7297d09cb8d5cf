// A TPM for one simulated device: swtpm, made once with an authority of its own, and what it starts with approved.
import { hash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { findFreePort, listenOnce } from './ports.ts';
import type { Part } from './part.ts';
import { keepFile } from './private-file.ts';
import { runProgram } from './run-program.ts';

export interface DemoTpm {
  readonly part: Part;
  /** The TPM, as tpm2-tools name it. */
  readonly tcti: string;
  /** Root of whom made it (PEM). */
  readonly rootFile: string;
  /** Between that root and the TPM (PEM). */
  readonly chainFile: string;
  /** Where the collector of quotes keeps its keys. */
  readonly keysDirectory: string;
  /** SENTINEL_ATTESTATION_PCR_BASELINES_JSON: what its registers held when it was first started. */
  baselines(): Promise<string>;
}

type Environment = Readonly<Record<string, string>>;

const programs = [
  ...(['swtpm', 'swtpm_setup', 'swtpm_localca'] as const),
  ...(['tpm2_getcap', 'tpm2_pcrextend', 'tpm2_pcrread', 'tpm2_setclock'] as const),
];
type Program = (typeof programs)[number];
const withinMs = 30_000;
/** What the demo machine measures while it boots: firmware, boot loader, and the state of secure boot. */
const measuredAtBoot = { 0: 'demo firmware', 4: 'demo boot loader', 7: 'demo secure boot' } as const;

/**
 * Makes the TPM unless it is there.
 *
 * @param folder      Absolute: with a relative one swtpm starts in failure mode.
 * @param environment Of the programs.
 * @param clock       Of this machine: the TPM's goes by it.
 * @throws TrustError `service.unavailable` when the programs are not installed
 */
export async function demoTpm(folder: string, environment: Environment, clock: Clock): Promise<DemoTpm> {
  const find = findPrograms(environment);
  if ((await stat(folder).catch(() => null)) === null) {
    const draft = `${folder}.draft`;
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true, mode: 0o700 });
    await manufactureTpm(draft, environment);
    await rename(draft, folder);
  }
  const port = await freeTpmPorts();
  const tcti = `swtpm:host=127.0.0.1,port=${port}`;
  const tool = (name: Program, ...args: readonly string[]): Promise<string> =>
    runProgram(find(name), args, { environment: { ...environment, TPM2TOOLS_TCTI: tcti }, withinMs });
  return {
    tcti,
    rootFile: join(folder, 'authority', 'swtpm-localca-rootca-cert.pem'),
    chainFile: join(folder, 'authority', 'issuercert.pem'),
    keysDirectory: join(folder, 'keys'),
    baselines: () =>
      keepFile(join(folder, 'baselines.json'), async () =>
        JSON.stringify(baselineOf(await tool('tpm2_pcrread', `sha256:${Object.keys(measuredAtBoot).join(',')}`))),
      ),
    part: {
      name: 'TPM',
      command: find('swtpm'),
      args: tpmArguments(join(folder, 'state'), port),
      environment,
      async ready(signal, note) {
        for (;;) {
          const answer = await tool('tpm2_getcap', 'properties-fixed').catch((error: Error) => error);
          if (typeof answer === 'string') break;
          note(answer.message.split('\n')[0] ?? '');
          await sleep(50, undefined, { signal });
        }
        // It has just been switched on, so its registers are empty.
        const events = Object.entries(measuredAtBoot).map(
          ([register, event]) => `${register}:sha256=${digestOf(event)}`,
        );
        await tool('tpm2_pcrextend', ...events);
        // It keeps its clock only now and then, and evidence from before what it has shown is refused.
        await tool('tpm2_setclock', String(clock.now().getTime()));
      },
      readyWithinMs: withinMs,
      stopSignal: 'SIGTERM',
      stopWithinMs: 2_000,
    },
  };
}

export function tpmArguments(stateDirectory: string, port: number): string[] {
  const listen = (number: number): string => `type=tcp,port=${number},bindaddr=127.0.0.1`;
  return [
    ...['socket', '--tpm2', '--tpmstate', `dir=${stateDirectory}`],
    ...['--server', listen(port), '--ctrl', listen(port + 1), '--flags', 'not-need-init,startup-clear'],
  ];
}

/**
 * Gives a TPM its seeds, and certificates of a new authority.
 *
 * @param folder Absolute; afterwards `state` is the TPM's, and `authority` that of who made it.
 */
export async function manufactureTpm(folder: string, environment: Environment): Promise<void> {
  const find = findPrograms(environment);
  const at = (...names: readonly string[]): string => join(folder, ...names);
  const [authority, state] = [at('authority'), at('state')];
  for (const directory of [authority, state]) await mkdir(directory, { mode: 0o700 });
  const files = { signingkey: 'signkey.pem', issuercert: 'issuercert.pem', certserial: 'certserial' };
  const lines = Object.entries(files).map(([name, file]) => `${name} = ${join(authority, file)}`);
  await writeFile(at('localca.conf'), [`statedir = ${authority}`, ...lines, ''].join('\n'));
  await writeFile(
    at('localca.options'),
    '--platform-manufacturer Sentinel\n--platform-version 1\n--platform-model Demo\n',
  );
  await writeFile(
    at('setup.conf'),
    [
      `create_certs_tool= ${find('swtpm_localca')}`,
      `create_certs_tool_config = ${at('localca.conf')}`,
      `create_certs_tool_options = ${at('localca.options')}`,
      '',
    ].join('\n'),
  );
  await runProgram(
    find('swtpm_setup'),
    [
      ...['--tpm2', '--tpm-state', state, '--config', at('setup.conf')],
      ...['--createek', '--create-ek-cert', '--pcr-banks', 'sha256,sha384'],
    ],
    { directory: folder, environment, withinMs },
  );
}

/** Two ports that follow each other, as tpm2-tools expect: the TPM's, and that of its platform. */
export async function freeTpmPorts(): Promise<number> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const port = await findFreePort();
    if ((await listenOnce('127.0.0.1', port + 1).catch(() => null)) !== null) return port;
  }
  throw new TrustError('service.unavailable', { detail: 'no two ports that follow each other are free for the TPM' });
}

function findPrograms({ PATH = '' }: Environment): (name: Program) => string {
  const missing: string[] = [];
  const found = new Map<Program, string>();
  for (const name of programs) {
    const path = PATH.split(delimiter)
      .map((directory) => join(directory, name))
      .find(isExecutable);
    if (path === undefined) missing.push(name);
    else found.set(name, path);
  }
  if (missing.length > 0)
    throw new TrustError('service.unavailable', {
      detail: `--tpm needs ${missing.join(', ')}. On Debian and Ubuntu: apt-get install swtpm swtpm-tools tpm2-tools`,
    });
  return (name) => found.get(name) ?? name;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What tpm2_pcrread prints as approved values. */
function baselineOf(printed: string): { readonly sha256: Readonly<Record<string, readonly string[]>> } {
  const values = [...printed.matchAll(/^\s*(\d+)\s*: 0x([0-9A-F]{64})$/gm)];
  return { sha256: Object.fromEntries(values.map(([, register, value = '']) => [register, [value.toLowerCase()]])) };
}

function digestOf(event: string): string {
  return hash('sha256', event);
}

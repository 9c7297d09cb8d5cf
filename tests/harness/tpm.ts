// A TPM 2.0 of one's own: swtpm with certificates of an authority that was made for it, driven by tpm2-tools.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writePem } from '#protocols/pem.ts';
import type { PcrSelection, PcrValues } from '#protocols/pcr.ts';
import type { TpmEvidenceOnTheWire } from '#protocols/tpm-evidence.ts';
import { freeTpmPorts, manufactureTpm, tpmArguments } from '#start/tpm.ts';
import type { Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';
import { programPath } from './requires.ts';

/** An endorsement key, by the word that `tpm2_createek` has for it. */
export const endorsementKeys = ['rsa', 'rsa3072', 'ecc', 'ecc384'] as const;
export type EndorsementKeyKind = (typeof endorsementKeys)[number];

/** Kinds of attestation keys: those of the endorsement key above, the key, how it signs, and by which hash. */
export const attestationKeys = [
  { ek: 'rsa', key: 'rsa', scheme: 'rsassa', hash: 'sha256' },
  { ek: 'rsa', key: 'rsa', scheme: 'rsassa', hash: 'sha384' },
  { ek: 'rsa', key: 'rsa', scheme: 'rsapss', hash: 'sha256' },
  { ek: 'rsa', key: 'rsa', scheme: 'rsapss', hash: 'sha384' },
  { ek: 'ecc', key: 'ecc', scheme: 'ecdsa', hash: 'sha256' },
  { ek: 'ecc', key: 'ecc', scheme: 'ecdsa', hash: 'sha384' },
  { ek: 'ecc384', key: 'ecc384', scheme: 'ecdsa', hash: 'sha256' },
  { ek: 'rsa3072', key: 'ecc384', scheme: 'ecdsa', hash: 'sha384' },
] as const;
export type AttestationKeyKind = {
  readonly ek: EndorsementKeyKind;
  readonly key: string;
  readonly scheme: string;
  readonly hash: string;
};

/** Where a manufacturer puts the certificates (TCG EK Credential Profile §2.2.1.4), as swtpm_setup does. */
const certificateIndexes: Readonly<Partial<Record<EndorsementKeyKind, string>>> = {
  rsa: '0x1c00002',
  ecc384: '0x1c00016',
};

export interface AttestationKey {
  readonly kind: AttestationKeyKind;
  readonly context: string;
  readonly name: Buffer;
  readonly publicFile: string;
  readonly akPublic: Buffer;
}

export interface Tpm {
  /** Root first, PEM. */
  readonly authorities: readonly string[];
  /** Runs one of tpm2-tools in the TPM's folder; the answer is its standard output. */
  run(tool: string, ...args: readonly string[]): Promise<string>;
  readonly folder: string;
  /** The TPM, as tpm2-tools name it. */
  readonly tcti: string;
  /** What a power cycle does: everything that was loaded is gone, and the registers begin anew. */
  reset(): Promise<void>;
  endorsementKey(kind: EndorsementKeyKind): Promise<{ ekPublic: Buffer; certificatePem: string | null }>;
  attestationKey(kind: AttestationKeyKind): Promise<AttestationKey>;
  /** A quote as it goes over the wire, its files left as `quote.msg`, `quote.sig`, `quote.pcr`. */
  quote(key: AttestationKey, challenge: { nonce: string; selection: PcrSelection }): Promise<TpmEvidenceOnTheWire>;
  /** Opens a credential file; throws when it is not for this TPM and this key. */
  activate(key: AttestationKey, credentialFile: Buffer): Promise<Buffer>;
}

/** Starts a new TPM; it takes about two seconds. */
export async function startTpm(cleanup: Cleanup): Promise<Tpm> {
  // An absolute folder: with a relative one swtpm starts in failure mode.
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-tpm-'));
  cleanup.after(() => rm(folder, { recursive: true, force: true }));
  await manufactureTpm(folder, { PATH: process.env.PATH ?? '' });
  const port = await freeTpmPorts();
  const tpm = spawn(programPath('swtpm'), tpmArguments(join(folder, 'state'), port), { stdio: 'ignore' });
  const ended = once(tpm, 'exit');
  cleanup.after(async () => {
    tpm.kill('SIGTERM');
    await ended;
  });
  const tcti = `swtpm:host=127.0.0.1,port=${port}`;
  const environment = { ...process.env, TPM2TOOLS_TCTI: tcti };
  const run = (tool: string, ...args: readonly string[]): Promise<string> =>
    runProgram(tool, args, { cwd: folder, env: environment });
  await eventually(() => run('tpm2_getcap', 'properties-fixed').catch(() => null), 'the TPM');
  const pem = (name: string): Promise<string> => readFile(join(folder, 'authority', name), 'utf8');
  const reset = async (): Promise<void> => {
    await run('swtpm_ioctl', '--tcp', `127.0.0.1:${port + 1}`, '-i');
    await run('tpm2_startup', '-c');
  };
  return tpmWith({ folder, run, tcti, reset }, [
    await pem('swtpm-localca-rootca-cert.pem'),
    await pem('issuercert.pem'),
  ]);
}

function tpmWith(
  { folder, run, tcti, reset }: Pick<Tpm, 'folder' | 'run' | 'tcti' | 'reset'>,
  authorities: readonly string[],
): Tpm {
  const file = (name: string): Promise<Buffer> => readFile(join(folder, name));
  const made = new Set<string>();
  let keys = 0;
  // There is no resource manager: what stays in the TPM takes up one of its three places.
  const flush = (): Promise<string> => run('tpm2_flushcontext', '-t');

  const endorsementKey = async (kind: EndorsementKeyKind): Promise<void> => {
    if (made.has(kind)) return;
    await run('tpm2_createek', '-G', kind, '-c', `ek-${kind}.ctx`, '-u', `ek-${kind}.pub`);
    await flush();
    made.add(kind);
  };

  return {
    authorities,
    run,
    folder,
    tcti,
    reset,
    async endorsementKey(kind) {
      await endorsementKey(kind);
      const index = certificateIndexes[kind];
      if (index !== undefined) await run('tpm2_nvread', index, '-o', `ek-${kind}.crt`);
      return {
        ekPublic: await file(`ek-${kind}.pub`),
        certificatePem: index === undefined ? null : writePem(await file(`ek-${kind}.crt`), 'CERTIFICATE'),
      };
    },
    async attestationKey(kind) {
      await endorsementKey(kind.ek);
      const ak = `ak-${(keys += 1)}`;
      await run(
        'tpm2_createak',
        ...['-C', `ek-${kind.ek}.ctx`, '-c', `${ak}.ctx`, '-u', `${ak}.pub`, '-n', `${ak}.name`],
        ...['-G', kind.key, '-g', kind.hash, '-s', kind.scheme],
      );
      await flush();
      return {
        kind,
        context: `${ak}.ctx`,
        name: await file(`${ak}.name`),
        publicFile: `${ak}.pub`,
        akPublic: await file(`${ak}.pub`),
      };
    },
    async quote(key, { nonce, selection }) {
      const banks = Object.entries(selection).map(([bank, registers]) => `${bank}:${registers.join(',')}`);
      await run(
        'tpm2_quote',
        ...['-c', key.context, '-l', banks.join('+'), '-q', Buffer.from(nonce, 'base64url').toString('hex')],
        ...['-g', key.kind.hash, '--scheme', key.kind.scheme, '-m', 'quote.msg', '-s', 'quote.sig', '-o', 'quote.pcr'],
      );
      await flush();
      return {
        provider: 'tpm_quote_v1',
        nonce,
        quote: (await file('quote.msg')).toString('base64url'),
        signature: (await file('quote.sig')).toString('base64url'),
        pcrs: await readRegisters(run, selection),
        ak_public: key.akPublic.toString('base64url'),
        ek_public: (await file(`ek-${key.kind.ek}.pub`)).toString('base64url'),
      };
    },
    async activate(key, credential) {
      await writeFile(join(folder, 'credential'), credential);
      const open = ['-c', key.context, '-C', `ek-${key.kind.ek}.ctx`, '-i', 'credential', '-o', 'secret'];
      const session = join(folder, 'session.ctx');
      try {
        // Endorsement keys of the high range may be used with their password, which is empty.
        if (key.kind.ek === 'rsa' || key.kind.ek === 'ecc') {
          await run('tpm2_startauthsession', '--policy-session', '-S', session);
          await run('tpm2_policysecret', '-S', session, '-c', 'e');
          open.push('-P', `session:${session}`);
        }
        await run('tpm2_activatecredential', ...open);
        return await file('secret');
      } finally {
        await run('tpm2_flushcontext', session).catch(() => '');
        await flush();
      }
    },
  };
}

async function readRegisters(run: Tpm['run'], selection: PcrSelection): Promise<PcrValues> {
  const text = await run(
    'tpm2_pcrread',
    Object.entries(selection)
      .map(([bank, registers]) => `${bank}:${registers.join(',')}`)
      .join('+'),
  );
  const values: Record<string, Record<string, string>> = {};
  let bank = '';
  for (const line of text.split('\n')) {
    bank = /^\s*(sha\d+):/.exec(line)?.[1] ?? bank;
    const [, register, value] = /^\s*(\d+)\s*: 0x([0-9A-F]+)$/.exec(line) ?? [];
    if (register !== undefined && value !== undefined) (values[bank] ??= {})[register] = value.toLowerCase();
  }
  return values;
}

async function runProgram(
  program: string,
  args: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { ...options, timeout: 20_000 });
  return stdout;
}

// What it costs to verify evidence: beside the bare signature, beside the program of tpm2-tools and beside Keylime.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { pcrBanks, type PcrValues } from '#protocols/pcr.ts';
import { makeSignedMeasurement, verifySignedMeasurement } from '#protocols/signed-measurement.ts';
import { readTpmPublic } from '#protocols/tpm-public.ts';
import { verifyTpmQuote } from '#protocols/tpm-quote.ts';
import { bytesOf, quoteVector } from '#tests/unit/protocols/tpm-vectors.ts';
import { withCleanup } from './cleanup.ts';
import { measureEvidence } from './heartbeat/evidence.ts';
import { measureJudging } from './judging.ts';
import type { Bench } from './main.ts';
import { spread } from './percentile.ts';
import { installPeer } from './peers/install.ts';
import type { Measurement } from './result.ts';
import { median, planRounds, ratio } from './rounds.ts';

const turns = 6;
const perRound = 2000;
const processesPerRound = 20;
const vector = quoteVector('rsassa', 'sha256');

/** Runs one round; the answer is what each verification took, in microseconds. */
type Contestant = () => number[];

export const attestationBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    const folder = await mkdtemp(join(tmpdir(), 'sentinel-bench-'));
    cleanup.after(() => rm(folder, { recursive: true, force: true }));
    await writeQuoteFiles(folder);
    const contestants = new Map<string, Contestant>([
      ['signed measurement', measurements().ours],
      ['bare Ed25519', measurements().bare],
      ['TPM quote', () => timed(perRound, () => verifyTpmQuote(vector))],
    ]);
    const notes: Measurement[] = [];
    addIfThere(contestants, notes, 'tpm2_checkquote, a process each', () => checkquoteProcess(folder));
    say('installs Keylime');
    addIfThere(contestants, notes, 'Keylime', () => keylime(folder));
    const took = new Map([...contestants.keys()].map((name): [string, number[]] => [name, []]));
    // Once to warm up.
    for (const run of contestants.values()) run();
    for (const name of planRounds([...contestants.keys()], turns)) {
      say(name);
      took.get(name)?.push(...(contestants.get(name)?.() ?? []));
    }
    say('judging in a thread');
    notes.push(...(await measureJudging(vector)));
    const evidence = await measureEvidence(say);
    const middle = (name: string): number => median(took.get(name) ?? []);
    const against = (name: string, key: string) =>
      contestants.has(name) ? { [key]: ratio(middle(name), middle('TPM quote')) } : {};
    return {
      measurements: [
        ...[...took].map(([name, values]) => ({ label: name, unit: 'µs', value: median(values), ...spread(values) })),
        ...notes,
        ...evidence.measurements,
      ],
      ratios: {
        ...evidence.ratios,
        measurement_to_bare_ed25519: ratio(middle('bare Ed25519'), middle('signed measurement')),
        ...against('tpm2_checkquote, a process each', 'built_in_to_checkquote_process'),
        ...against('Keylime', 'built_in_to_keylime'),
      },
    };
  });

function measurements(): { ours: Contestant; bare: Contestant } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const now = new Date('2026-12-01T12:00:00Z');
  const challenge = { nonce: vector.challenge.nonce, selection: vector.challenge.selection };
  const evidence = makeSignedMeasurement({
    deviceId: 'device-1',
    nonce: challenge.nonce,
    measuredAt: now,
    pcrs: vector.evidence.pcrs,
    privateKey,
  });
  const limits = { maximumAgeSeconds: 300, maximumClockSkewSeconds: 30 };
  const bytes = canonicalBytes(evidence.measurement);
  const signature = Buffer.from(evidence.signature, 'base64url');
  return {
    ours: () =>
      timed(perRound, () => verifySignedMeasurement({ evidence, deviceId: 'device-1', challenge, limits, now })),
    bare: () => timed(perRound, () => verify(null, bytes, publicKey, signature)),
  };
}

function timed(times: number, work: () => unknown): number[] {
  return Array.from({ length: times }, () => {
    const began = performance.now();
    if (work() === false) throw new Error('a good signature was refused');
    return (performance.now() - began) * 1000;
  });
}

/** A row that says why, where a peer cannot be had. */
function addIfThere(
  contestants: Map<string, Contestant>,
  notes: Measurement[],
  name: string,
  prepare: () => Contestant,
): void {
  try {
    const contestant = prepare();
    contestant();
    contestants.set(name, contestant);
  } catch (error) {
    const [why = ''] = (error as Error).message.split('\n');
    notes.push({ label: `${name}: ${why}`, unit: 'µs', value: Number.NaN, p50: null, p99: null });
  }
}

function checkquoteProcess(folder: string): Contestant {
  const nonce = bytesOf(vector.challenge.nonce).toString('hex');
  const files = ['-u', 'ak.pub', '-m', 'quote.msg', '-s', 'quote.sig', '-f', 'quote.pcr', '-g', 'sha256', '-q', nonce];
  return () => timed(processesPerRound, () => execFileSync('tpm2_checkquote', files, { cwd: folder, stdio: 'ignore' }));
}

function keylime(folder: string): Contestant {
  const python = installPeer('keylime');
  const program = join(import.meta.dirname, 'peers', 'keylime', 'checkquote.py');
  return () =>
    JSON.parse(
      execFileSync(python, [program, folder, String(perRound)], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as number[];
}

async function writeQuoteFiles(folder: string): Promise<void> {
  const { ak_public, quote, signature, pcrs } = vector.evidence;
  const { key } = readTpmPublic(bytesOf(ak_public));
  const files: Readonly<Record<string, string | Buffer>> = {
    'ak.pub': bytesOf(ak_public),
    'ak.pem': key.export({ type: 'spki', format: 'pem' }),
    nonce: bytesOf(vector.challenge.nonce),
    'quote.msg': bytesOf(quote),
    'quote.sig': bytesOf(signature),
    'quote.pcr': registerFile(pcrs),
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
}

/** The file of register values that tpm2_quote writes: structures of one bank as they lie in memory, little-endian. */
function registerFile({ sha256 = {} }: PcrValues): Buffer {
  const registers = Object.keys(sha256).map(Number);
  const selection = Buffer.alloc(4 + 16 * 8);
  selection.writeUInt32LE(1);
  selection.writeUInt16LE(0x000b, 4);
  selection.writeUInt8(3, 6);
  selection.writeUIntLE(
    registers.reduce((bits, register) => bits | (1 << register), 0),
    7,
    3,
  );
  const digests = Buffer.alloc(4 + 4 + 8 * 66);
  digests.writeUInt32LE(1);
  digests.writeUInt32LE(registers.length, 4);
  for (const [index, register] of registers.entries()) {
    const at = 8 + index * 66;
    digests.writeUInt16LE(pcrBanks.sha256, at);
    digests.write(sha256[register] ?? '', at + 2, 'hex');
  }
  return Buffer.concat([selection, digests]);
}

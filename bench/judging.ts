// What it costs to judge evidence in the API: in its thread and beside it, what that does to the event loop, and the look at
// whether a certificate is revoked.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createCertificateStatuses } from '#api/certificate-status.ts';
import { createEvidenceJudge, evidenceJudgeDefaults } from '#api/evidence-judge.ts';
import { judgeEvidence, type Judgement } from '#protocols/attestation-verdict.ts';
import { authorityId, parseCertificate } from '#protocols/certificate.ts';
import { readRevocationLists, requireNotListed } from '#protocols/crl.ts';
import { anchorsOf, forgeAuthority, forgeLeaf, now, verify } from '#tests/unit/protocols/certificate-forge.ts';
import { forgeList } from '#tests/unit/protocols/crl-forge.ts';
import { circumstancesFor, judgedAt, provenEvidence, quoteBasis } from '#tests/unit/protocols/judgements.ts';
import { forgeAnswer } from '#tests/unit/protocols/ocsp-forge.ts';
import type { QuoteVector } from '#tests/unit/protocols/tpm-vectors.ts';
import { spread } from './percentile.ts';
import type { Measurement } from './result.ts';
import { median } from './rounds.ts';

const judgements = 5_000;
/** As many heartbeats as wait for their verdict at full load. */
const atOnce = 64;
const fullRounds = 9;
const roundMs = 400;
const listed = 100_000;

/** @returns rows in the order of the table */
export async function measureJudging(vector: QuoteVector): Promise<Measurement[]> {
  const judgement: Judgement = {
    evidence: provenEvidence(vector),
    circumstances: circumstancesFor(vector),
    basis: quoteBasis(vector),
    now: judgedAt,
  };
  if (judgeEvidence(judgement).outcome !== 'verified') throw new Error('good evidence was refused');
  const judge = createEvidenceJudge({
    ...evidenceJudgeDefaults,
    log: { error: (_fields, message) => process.stderr.write(`${message}\n`) },
  });
  try {
    const inline = await times(judgements, async () => judgeEvidence(judgement));
    await times(500, () => judge.judge(judgement));
    const alone = await times(judgements, () => judge.judge(judgement));
    const full = await rounds(() => judge.judge(judgement));
    const fullInline = await rounds(async () => judgeEvidence(judgement));
    const idle = await rounds(async () => null);
    return [
      row('judgement of a quote, inline', inline),
      row('judgement of a quote in the thread, one at a time', alone),
      single('judgement of a quote in the thread, at full rate', 'µs', full.each),
      single('longest delay of the event loop, judging in the thread at full rate', 'ms', full.longestDelayMs),
      single('longest delay of the event loop, judging inline', 'ms', fullInline.longestDelayMs),
      single('longest delay of the event loop, judging nothing', 'ms', idle.longestDelayMs),
      ...(await measureRevocation()),
    ];
  } finally {
    await judge.close();
  }
}

/** Of a round in the middle: what else the machine does holds up one or another. */
async function rounds(work: () => Promise<unknown>): Promise<{ each: number; longestDelayMs: number }> {
  const each: number[] = [];
  const longest: number[] = [];
  for (let round = 0; round < fullRounds; round += 1) {
    const measured = await atFullRate(work);
    each.push(measured.each);
    longest.push(measured.longestDelayMs);
  }
  return { each: median(each), longestDelayMs: median(longest) };
}

/** Each of them judges one after the other, as devices do that wait for their answer. */
async function atFullRate(work: () => Promise<unknown>): Promise<{ each: number; longestDelayMs: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let done = 0;
  delay.enable();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (; performance.now() - began < roundMs; done += 1) {
        await work();
        // A request ends, and the next one begins with a turn of the event loop.
        await new Promise(setImmediate);
      }
    }),
  );
  const each = ((performance.now() - began) * 1000) / done;
  delay.disable();
  return { each, longestDelayMs: delay.max / 1e6 };
}

async function measureRevocation(): Promise<Measurement[]> {
  const ca = await forgeAuthority('Bench CA');
  const leaf = await forgeLeaf(ca);
  const issuer = parseCertificate(ca.certificatePem);
  const device = verify(leaf, { anchors: anchorsOf(ca) });
  const revoked = Array.from({ length: listed }, (_, index) => `01${index.toString(16).padStart(14, '0')}`);
  const lists = new Map([[authorityId(issuer), readRevocationLists(forgeList(ca, { revoked }), [issuer])]]);
  const nonce = new Uint8Array(32).fill(9);
  const responder = createCertificateStatuses({
    issuers: [issuer],
    responderUrl: 'http://ocsp.example/',
    timeoutMs: 3_000,
    maxAgeSeconds: 86_400,
    call: async () => ({
      status: 200,
      body: forgeAnswer({
        certificate: leaf,
        issuer: ca,
        nonce,
        thisUpdate: now,
        nextUpdate: new Date(now.getTime() + 3_600_000),
      }),
    }),
    clock: { now: () => now },
    random: { bytes: () => nonce },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  await responder.require(device);
  return [
    row(
      `look-up in a revocation list of ${listed.toLocaleString('en')}`,
      await times(judgements, async () => requireNotListed(device.path, lists, now)),
    ),
    row('answer of an OCSP responder that is kept', await times(judgements, async () => responder.require(device))),
  ];
}

/** What each took, in microseconds. */
async function times(count: number, work: () => Promise<unknown>): Promise<number[]> {
  const took: number[] = [];
  for (let done = 0; done < count; done += 1) {
    const began = performance.now();
    await work();
    took.push((performance.now() - began) * 1000);
  }
  return took;
}

function row(label: string, took: readonly number[]): Measurement {
  return { label, unit: 'µs', value: median(took), ...spread(took) };
}

function single(label: string, unit: string, value: number): Measurement {
  return { label, unit, value, p50: null, p99: null };
}

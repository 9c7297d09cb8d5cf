// What responders say: asked once for many, kept for its time, and never made up for when there is no answer.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { createCertificateStatuses, type CertificateStatusesDeps } from '#api/certificate-status.ts';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { type VerifiedCertificate } from '#protocols/device-certificate.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import type { OutboundAnswer } from '#outbound/request.ts';
import { countingRandom } from '#tests/fakes/counting-random.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { anchorsOf, der, forgeAuthority, forgeLeaf, now, verify } from '#tests/unit/protocols/certificate-forge.ts';
import { forgeAnswer, statuses as answers, type AnswerOptions } from '#tests/unit/protocols/ocsp-forge.ts';

let ca: IssuedCertificate;
let leaf: IssuedCertificate;
let device: VerifiedCertificate;
const nonce = new Uint8Array(32).fill(9);

before(async () => {
  ca = await forgeAuthority('Sentinel Test CA');
  leaf = await forgeLeaf(ca);
  device = verify(leaf, { anchors: anchorsOf(ca) });
});

interface Script {
  answer?: Partial<AnswerOptions> | Error | { readonly status: number };
}

function asking(change: Partial<CertificateStatusesDeps> = {}) {
  const clock = fakeClock(now.toISOString());
  const script: Script = {};
  const called: string[] = [];
  let hold: Promise<void> = Promise.resolve();
  const statuses = createCertificateStatuses({
    issuers: [parseCertificate(ca.certificatePem)],
    responderUrl: 'http://ocsp.example/',
    timeoutMs: 3_000,
    maxAgeSeconds: 86_400,
    async call(url): Promise<OutboundAnswer> {
      called.push(url);
      await hold;
      const { answer = {} } = script;
      if (answer instanceof Error) throw answer;
      if ('status' in answer && typeof answer.status === 'number')
        return { status: answer.status, body: Buffer.alloc(0) };
      const at = clock.now();
      const times = { thisUpdate: at, nextUpdate: new Date(at.getTime() + 3_600_000) };
      const options = { certificate: leaf, issuer: ca, nonce, ...times, ...(answer as Partial<AnswerOptions>) };
      return { status: 200, body: forgeAnswer(options) };
    },
    clock,
    random: countingRandom(9),
    log: fakeLog(),
    ...change,
  });
  const verdict = async (certificate = device): Promise<ProblemCode | null> => {
    try {
      await statuses.require(certificate);
      return null;
    } catch (error) {
      assert.ok(error instanceof TrustError, String(error));
      return error.code;
    }
  };
  return {
    clock,
    script,
    called,
    statuses,
    verdict,
    holdUntil(promise: Promise<void>) {
      hold = promise;
    },
    settled: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

describe('the status of certificates', () => {
  it('is asked once for all who wait, and kept (RV-05)', async () => {
    const { statuses, called, holdUntil } = asking();
    const { promise, resolve } = Promise.withResolvers<void>();
    holdUntil(promise);
    const all = Array.from({ length: 50 }, () => statuses.require(device));
    resolve();
    await Promise.all(all.map((answer) => Promise.resolve(answer)));
    assert.equal(statuses.require(device), true);
    assert.deepEqual(called, ['http://ocsp.example/']);
  });

  it('is asked for again before it ends, while the one that is kept serves', async () => {
    const { clock, called, verdict, settled, statuses } = asking();
    await verdict();
    clock.advance(3_600_000 * 0.74);
    assert.equal(statuses.require(device), true);
    assert.equal(called.length, 1);
    clock.advance(3_600_000 * 0.02);
    assert.equal(statuses.require(device), true);
    await settled();
    assert.equal(called.length, 2);
    clock.advance(3_600_000 * 0.7);
    assert.equal(statuses.require(device), true, 'the new one serves');
  });

  it('refuses when the answer has run out and no other comes (RV-05, RV-09)', async () => {
    const { clock, script, verdict } = asking();
    assert.equal(await verdict(), null);
    script.answer = new TrustError('outbound.failed');
    clock.advance(3_600_000);
    assert.equal(await verdict(), null, 'its last moment');
    clock.advance(1);
    assert.equal(await verdict(), 'certificate.ocsp_unavailable');
  });

  it('refuses a revoked certificate, for ever', async () => {
    const { clock, script, verdict, called } = asking();
    script.answer = { status: answers.revoked };
    assert.equal(await verdict(), 'certificate.revoked');
    script.answer = {};
    clock.advance(86_400_000 * 30);
    assert.equal(await verdict(), 'certificate.revoked');
    assert.equal(called.length, 1);
  });

  for (const [what, answer] of [
    ['times out', new TrustError('outbound.failed')],
    ['fails', { status: 500 }],
    ['sends somebody elsewhere', { status: 302 }],
    ['does not know the certificate', { status: answers.unknown }],
    ['answers another question', { nonce: new Uint8Array(32).fill(1) }],
    ['answers with an old status', { thisUpdate: new Date(now.getTime() - 86_400_001), nextUpdate: null }],
    ['signs with a key that is not the issuer’s', { signer: 'stranger' }],
  ] as const) {
    it(`refuses when the responder ${what} (RV-05, FT-13)`, async () => {
      const { script, verdict, statuses } = asking();
      const signer = 'signer' in answer ? { signer: await forgeAuthority('Sentinel Test CA') } : {};
      script.answer = answer instanceof Error ? answer : { ...(answer as object), ...signer };
      assert.equal(await verdict(), 'certificate.ocsp_unavailable');
      assert.deepEqual(statuses.outage(), { responders: ['http://ocsp.example/'], refused: 1 });
    });
  }

  it('leaves a responder that fails alone for a while, ever longer', async () => {
    const { clock, script, verdict, called } = asking();
    script.answer = { status: 500 };
    for (const pause of [1_000, 2_000, 4_000]) {
      assert.equal(await verdict(), 'certificate.ocsp_unavailable');
      assert.equal(await verdict(), 'certificate.ocsp_unavailable');
      clock.advance(pause);
    }
    assert.equal(called.length, 3);
    script.answer = {};
    assert.equal(await verdict(), null);
  });

  it('cannot be known without the issuer, or without a responder (RV-06, RV-07)', async () => {
    const { verdict, called } = asking({ issuers: [] });
    assert.equal(await verdict(), 'certificate.ocsp_unavailable');
    const nowhere = asking({ responderUrl: undefined });
    assert.equal(await nowhere.verdict(), 'certificate.ocsp_unavailable');
    assert.deepEqual([called, nowhere.called], [[], []]);
    const value = new Uint8Array(
      der(0x30, der(0x30, der(0x06, Buffer.from('2b06010505073001', 'hex')), der(0x86, 'http://aia.example/'))),
    );
    leaf = await forgeLeaf(ca, { otherExtensions: [{ oid: '1.3.6.1.5.5.7.1.1', critical: false, value }] });
    assert.equal(await nowhere.verdict(verify(leaf, { anchors: anchorsOf(ca) })), null);
    assert.deepEqual(nowhere.called, ['http://aia.example/']);
  });

  it('is not asked for by more at a time than the limits say', async () => {
    const { statuses, called, holdUntil } = asking({ options: { maximumInFlight: 2, maximumWaiting: 1 } });
    const { promise, resolve } = Promise.withResolvers<void>();
    holdUntil(promise);
    const others = await Promise.all(
      Array.from({ length: 4 }, async () => verify(await forgeLeaf(ca), { anchors: anchorsOf(ca) })),
    );
    const asked = others.map((certificate) => Promise.resolve(statuses.require(certificate)).catch((e: unknown) => e));
    await new Promise((done) => setImmediate(done));
    assert.equal(called.length, 2);
    resolve();
    const last = (await Promise.all(asked)).at(-1);
    assert.ok(last instanceof TrustError && /Too many/.test(last.message));
  });

  it('does not wait for ever to be asked for, and gives its place to nobody who has gone', async () => {
    const { statuses, called, clock, holdUntil } = asking({ options: { maximumInFlight: 1, waitMs: 1 } });
    const { promise, resolve } = Promise.withResolvers<void>();
    holdUntil(promise);
    const [first, second, third] = await Promise.all(
      Array.from({ length: 3 }, async () => verify(await forgeLeaf(ca), { anchors: anchorsOf(ca) })),
    );
    assert.ok(first && second && third);
    const held = Promise.resolve(statuses.require(first)).catch((e: unknown) => e);
    await assert.rejects(async () => statuses.require(second), /Too many/);
    resolve();
    await held;
    // The answer was about another certificate, for which the responder is left alone for a while.
    clock.advance(60_000);
    await Promise.resolve(statuses.require(third)).catch((e: unknown) => e);
    assert.equal(called.length, 2, 'the first and the third');
  });
});

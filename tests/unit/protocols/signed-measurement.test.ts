// Signed measurements: what an agent makes is accepted once, for its device, in time, and nothing else is.
import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import {
  makeSignedMeasurement,
  verifySignedMeasurement,
  type SignedMeasurementEvidence,
} from '#protocols/signed-measurement.ts';
import { flipped, refusalOf, refuses, textOf } from './tpm-vectors.ts';

const now = new Date('2026-12-01T12:00:00Z');
const limits = { maximumAgeSeconds: 300, maximumClockSkewSeconds: 30 };
const challenge = { nonce: Buffer.alloc(32, 7).toString('base64url'), selection: { sha256: [0, 7] } };
const pcrs = { sha256: { 0: 'ab'.repeat(32), 7: 'cd'.repeat(32) } };
const { privateKey } = generateKeyPairSync('ed25519');

const made = (change: Partial<Parameters<typeof makeSignedMeasurement>[0]> = {}): SignedMeasurementEvidence =>
  makeSignedMeasurement({ deviceId: 'device-1', nonce: challenge.nonce, measuredAt: now, pcrs, privateKey, ...change });
const good = made();

const judge = (evidence: unknown, change: { deviceId?: string; now?: Date } = {}) =>
  verifySignedMeasurement({ evidence, deviceId: 'device-1', challenge, limits, now, ...change });

/** Any measurement at all, rightly signed. */
function signed(measurement: object, key: KeyObject = privateKey): unknown {
  const signature = textOf(sign(null, canonicalBytes(measurement), key));
  return { ...good, measurement, signature };
}

const later = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);
const pem = (key: KeyObject): string => createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();

describe('verifySignedMeasurement', () => {
  it('accepts what an agent makes, and says by which key', () => {
    const verified = judge(JSON.parse(JSON.stringify(good)));
    assert.deepEqual(verified.pcrs, pcrs);
    assert.equal(verified.measuredAt, now.toISOString());
    const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
    assert.equal(verified.keyFingerprint, createHash('sha256').update(spki).digest('hex'));
  });

  it('accepts it in any order of its members, since what is signed is the canonical form', () => {
    const { device_id, measured_at, nonce, pcrs: values } = good.measurement;
    const reordered = {
      pcrs: { sha256: { 7: values.sha256?.[7], 0: values.sha256?.[0] } },
      nonce,
      measured_at,
      device_id,
    };
    assert.ok(judge({ ...good, measurement: reordered }));
  });

  it('refuses every byte of signature and key changed, and every field of the measurement (SA-02)', () => {
    const signature = Buffer.from(good.signature, 'base64url');
    const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
    for (let at = 0; at < signature.length; at += 1)
      for (let bit = 0; bit < 8; bit += 1)
        refuses('signature_invalid', () => judge({ ...good, signature: textOf(flipped(signature, at, bit)) }));
    for (let at = 0; at < spki.length; at += 1) {
      const changed = flipped(spki, at, at % 8).toString('base64');
      refusalOf(() =>
        judge({ ...good, public_key: `-----BEGIN PUBLIC KEY-----\n${changed}\n-----END PUBLIC KEY-----\n` }),
      );
    }
    const other = { ...good.measurement, device_id: 'device-2' };
    refuses('signature_invalid', () => judge({ ...good, measurement: other }, { deviceId: 'device-2' }));
    refuses('signature_invalid', () =>
      judge({ ...good, measurement: { ...good.measurement, nonce: textOf(Buffer.alloc(32)) } }),
    );
    refuses('signature_invalid', () =>
      judge({ ...good, measurement: { ...good.measurement, measured_at: later(1).toISOString() } }),
    );
    refuses('signature_invalid', () =>
      judge({
        ...good,
        measurement: { ...good.measurement, pcrs: { sha256: { ...pcrs.sha256, 0: '00'.repeat(32) } } },
      }),
    );
  });

  it('refuses evidence of another device, and an answer to another challenge', () => {
    refuses('other_device', () => judge(good, { deviceId: 'device-2' }));
    refuses('attestation.nonce_unknown', () => judge(made({ nonce: textOf(Buffer.alloc(32, 8)) })));
    refuses('attestation.nonce_unknown', () => judge(made({ nonce: `${challenge.nonce}=` })));
  });

  it('refuses a measurement that is too old or from the future, and lets the clock be off as far as it may', () => {
    const cases: [number, null | 'attestation.stale' | 'clock_ahead'][] = [
      [330, null],
      [330.001, 'attestation.stale'],
      [-30, null],
      [-30.001, 'clock_ahead'],
      [Number.NaN, 'attestation.stale'],
    ];
    for (const [age, refusal] of cases) {
      if (refusal === null) assert.ok(judge(good, { now: later(age) }), String(age));
      else refuses(refusal, () => judge(good, { now: later(age) }), String(age));
    }
  });

  it('reads times of RFC 3339 in UTC, and no others', () => {
    const at = (measured_at: unknown) => judge(signed({ ...good.measurement, measured_at }));
    assert.equal(at('2026-12-01T11:59:59Z').measuredAt, '2026-12-01T11:59:59.000Z');
    assert.equal(at('2026-12-01T11:59:59.123456789Z').measuredAt, '2026-12-01T11:59:59.123Z');
    const wrong = [
      '2026-12-01T12:00:00+00:00',
      '2026-12-01 12:00:00Z',
      '2026-11-31T12:00:00Z',
      '2026-12-01',
      '',
      1,
      null,
    ];
    for (const measured_at of wrong) refuses('malformed', () => at(measured_at), String(measured_at));
  });

  it('refuses keys of other kinds, more than one, and those that anybody can sign for', () => {
    const keys = [
      generateKeyPairSync('ed448').privateKey,
      generateKeyPairSync('x25519').privateKey,
      generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
    ];
    for (const key of keys) refusalOf(() => judge({ ...good, public_key: pem(key) }));
    refuses('malformed', () => judge({ ...good, public_key: pem(privateKey).repeat(2) }));
    refuses('malformed', () => judge({ ...good, public_key: `x\n${pem(privateKey)}` }));
    refuses('malformed', () =>
      judge({ ...good, public_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }),
    );
    for (const point of ['00'.repeat(32), `01${'00'.repeat(31)}`, `01${'00'.repeat(30)}80`, `ec${'ff'.repeat(30)}7f`]) {
      const spki = Buffer.from(`302a300506032b6570032100${point}`, 'hex').toString('base64');
      const public_key = `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`;
      refuses('key_unfit', () => judge({ ...good, public_key }), point);
    }
  });

  it('refuses other registers than those that were asked for', () => {
    const of = (values: object) => judge(signed({ ...good.measurement, pcrs: values }));
    refuses('pcr_selection', () => of({ sha256: { 0: 'ab'.repeat(32) } }));
    refuses('pcr_selection', () => of({ sha256: { ...pcrs.sha256, 1: 'ab'.repeat(32) } }));
    refuses('pcr_selection', () => of({ sha256: {} }));
    refuses('malformed', () => of({}));
    refuses('malformed', () => of({ ...pcrs, sha1: {} }));
    refuses('malformed', () => of({ sha256: { 0: 'AB'.repeat(32), 7: 'cd'.repeat(32) } }));
    refuses('malformed', () => of({ sha256: { 0: 'ab'.repeat(48), 7: 'cd'.repeat(32) } }));
    refuses('malformed', () => of({ sha256: { 0: 1, 7: 'cd'.repeat(32) } }));
    refuses('malformed', () => of({ sha256: null }));
  });

  it('refuses members that are missing or unknown, outside and inside of what is signed', () => {
    for (const name of ['provider', 'measurement', 'public_key', 'signature'])
      refuses('malformed', () => judge(Object.fromEntries(Object.entries(good).filter(([key]) => key !== name))));
    for (const name of ['device_id', 'nonce', 'measured_at', 'pcrs'])
      refuses('malformed', () =>
        judge(signed(Object.fromEntries(Object.entries(good.measurement).filter(([key]) => key !== name)))),
      );
    refuses('malformed', () => judge({ ...good, more: 1 }));
    refuses('malformed', () => judge(signed({ ...good.measurement, more: 1 })));
    refuses('malformed', () => judge({ ...good, provider: 'tpm_quote_v1' }));
    refuses('malformed', () => judge({ ...good, signature: `${good.signature}=` }));
  });

  it('answers anything at all with codes of the table', () => {
    const maybe = <T>(value: T) => fc.oneof(fc.constant(value), fc.jsonValue(), fc.string({ unit: 'binary' }));
    const { device_id, nonce, measured_at } = good.measurement;
    const evidence = fc.record({
      provider: fc.constant(good.provider),
      measurement: fc.oneof(
        fc.jsonValue(),
        fc.record({
          device_id: maybe(device_id),
          nonce: maybe(nonce),
          measured_at: maybe(measured_at),
          pcrs: maybe(pcrs),
        }),
      ),
      public_key: maybe(good.public_key),
      signature: maybe(good.signature),
    });
    fc.assert(
      fc.property(fc.oneof(fc.anything(), evidence), (value) => {
        try {
          assert.deepEqual(judge(value).pcrs, pcrs, 'only what was signed verifies');
        } catch (error) {
          refusalOf(() => {
            throw error;
          });
        }
      }),
      { numRuns: 1000, seed: 20261201 },
    );
  });
});

describe('makeSignedMeasurement', () => {
  it('signs with an Ed25519 key and no other', () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
    assert.throws(() => made({ privateKey: other }), RangeError);
  });
});

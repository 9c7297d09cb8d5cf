// The verdict on evidence: what is good is verified, for each kind of it, and nothing else ever is.
import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, hash, sign, type KeyObject } from 'node:crypto';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import type {
  ActivationRecord,
  AttestationBasis,
  AttestationBinding,
  AttestationCircumstances,
  StoredChallenge,
  Verdict,
} from '#contracts/attestation.ts';
import { systemRandom, type Json } from '#contracts/deps.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import type { EvidenceFault } from '#protocols/evidence-fault.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { activationFor } from '#protocols/key-activation.ts';
import { makeSignedMeasurement } from '#protocols/signed-measurement.ts';
import { endorsementKeyOf, readEndorsementKey } from '#protocols/tpm-credential.ts';
import type { TpmEvidenceOnTheWire } from '#protocols/tpm-evidence.ts';
import { forgeAuthority, forgeLeaf } from './certificate-forge.ts';
import { openCredential } from './credential-opener.ts';
import {
  activationSecret,
  after,
  basisOf,
  challengeOf,
  circumstancesFor,
  endorsementIdOf,
  judgedAt,
  provenEvidence,
  quoteBasis,
} from './judgements.ts';
import { bytesOf, flipped, quoteVector, textOf, vectors, type QuoteVector } from './tpm-vectors.ts';

const rsa = quoteVector('rsassa', 'sha256');
const p256 = quoteVector('ecdsa', 'sha256', 'ecc');
const [swtpmRoot, swtpmIntermediate] = vectors.authorities;
const certified = {
  ek_certificate: vectors.endorsement.find(({ kind }) => kind === 'rsa')?.certificate ?? '',
  endorsement_chain: [swtpmIntermediate],
};

interface Change {
  readonly evidence?: object;
  readonly circumstances?: Partial<AttestationCircumstances>;
  readonly challenge?: Partial<StoredChallenge>;
  readonly basis?: Partial<AttestationBasis>;
  readonly now?: Date;
}

/** Of evidence that is good but for these changes. */
function quoted(vector: QuoteVector, change: Change = {}): Verdict {
  return judgeEvidence({
    evidence: { ...provenEvidence(vector), ...change.evidence },
    circumstances: circumstancesFor(vector, {
      challenge: challengeOf(vector, change.challenge),
      ...change.circumstances,
    }),
    basis: quoteBasis(vector, change.basis),
    now: change.now ?? judgedAt,
  });
}

const pcrs = { sha256: { 0: 'ab'.repeat(32), 7: 'cd'.repeat(32) } };
const nonce = Buffer.alloc(32, 7).toString('base64url');
const pair = generateKeyPairSync('ed25519');
const measurementChallenge: StoredChallenge = {
  ...challengeOf(rsa),
  provider: 'signed_measurement_v1',
  nonce,
  selection: { sha256: [0, 7] },
  activation: null,
};
const measured = (change: Partial<Parameters<typeof makeSignedMeasurement>[0]> = {}) =>
  makeSignedMeasurement({
    deviceId: 'device-1',
    nonce,
    measuredAt: judgedAt,
    pcrs,
    privateKey: pair.privateKey,
    ...change,
  });
const keyOfMeasurement = (key: KeyObject): string => hash('sha256', key.export({ type: 'spki', format: 'der' }));

function measurement(evidence: unknown = measured(), change: Omit<Change, 'evidence'> = {}): Verdict {
  return judgeEvidence({
    evidence,
    circumstances: circumstancesFor(rsa, {
      challenge: { ...measurementChallenge, ...change.challenge },
      ...change.circumstances,
    }),
    basis: basisOf(pcrs, { provider: 'signed_measurement_v1', ...change.basis }),
    now: change.now ?? judgedAt,
  });
}

function refused(verdict: Verdict, reason: EvidenceFault, code = 'attestation.failed'): void {
  assert.deepEqual([verdict.outcome, verdict.code, verdict.reason], ['refused', code, reason], verdict.detail ?? '');
  assert.deepEqual([verdict.key_id, verdict.pcrs, verdict.fresh_until], [null, null, null]);
}
const verified = (verdict: Verdict): void => assert.equal(verdict.outcome, 'verified', verdict.detail ?? '');

const bindingOf = (vector: QuoteVector, change: Partial<AttestationBinding> = {}): AttestationBinding => ({
  provider: 'tpm_quote_v1',
  key_id: vector.ak_name,
  binding_id: endorsementIdOf(vector),
  ...change,
});

describe('good evidence', () => {
  it('is verified, for every kind of key that TPMs sign with', () => {
    for (const vector of vectors.quotes) {
      const verdict = quoted(vector);
      verified(verdict);
      assert.equal(verdict.key_id, vector.ak_name);
      assert.equal(verdict.binding_id, endorsementIdOf(vector));
      assert.equal(verdict.binding_source, 'key');
      assert.deepEqual(verdict.pcrs, vector.evidence.pcrs);
      assert.equal(verdict.fresh_until, after(300).toISOString(), 'it counts from the challenge');
    }
  });

  it('is verified as a signed measurement (AT-02)', () => {
    const verdict = measurement();
    verified(verdict);
    assert.equal(verdict.key_id, keyOfMeasurement(pair.publicKey));
    assert.deepEqual([verdict.binding_id, verdict.pcrs], [null, pcrs]);
    assert.equal(verdict.fresh_until, new Date(judgedAt.getTime() + 300_000).toISOString());
    const ahead = measurement(measured({ measuredAt: new Date(judgedAt.getTime() + 20_000) }));
    assert.equal(ahead.fresh_until, verdict.fresh_until, 'a clock that is ahead makes nothing last longer');
  });

  it('comes to the same verdict at any time', () => {
    const once = JSON.stringify(quoted(rsa));
    quoted(p256);
    assert.equal(JSON.stringify(quoted(rsa)), once);
  });
});

describe('the challenge', () => {
  it('has to be open and recent (AT-04)', () => {
    refused(quoted(rsa, { now: after(120) }), 'challenge_expired', 'attestation.stale');
    verified(quoted(rsa, { now: after(119) }));
    const long = { expires_at: after(3600).toISOString() };
    verified(quoted(rsa, { challenge: long, now: after(330) }));
    refused(quoted(rsa, { challenge: long, now: after(331) }), 'too_old', 'attestation.stale');
    refused(quoted(rsa, { now: new Date(Number.NaN) }), 'challenge_expired', 'attestation.stale');
  });

  it('is the last one that the device was given, and no other device’s (AT-05)', () => {
    const none = { circumstances: { challenge: null } };
    refused(quoted(rsa, none), 'other_challenge', 'attestation.nonce_unknown');
    refused(measurement(undefined, none), 'other_challenge', 'attestation.nonce_unknown');
    const other = { challenge: { nonce: p256.challenge.nonce } };
    refused(quoted(rsa, other), 'other_challenge', 'attestation.nonce_unknown');
    refused(
      quoted(rsa, { ...other, evidence: { nonce: p256.challenge.nonce } }),
      'other_challenge',
      'attestation.nonce_unknown',
    );
    refused(measurement(undefined, other), 'other_challenge', 'attestation.nonce_unknown');
    refused(measurement(measured({ deviceId: 'device-2' })), 'other_device');
  });

  it('is of the provider that is asked for, and so is the evidence', () => {
    const wrong = { challenge: { provider: 'signed_measurement_v1' } } as const;
    refused(quoted(rsa, wrong), 'other_challenge', 'attestation.nonce_unknown');
    refused(quoted(rsa, { evidence: measured() }), 'malformed');
    refused(quoted(rsa, { evidence: { provider: 'signed_measurement_v1' } }), 'malformed');
    refused(measurement(provenEvidence(rsa)), 'malformed');
  });
});

describe('measured values', () => {
  const { sha256 = {} } = rsa.evidence.pcrs;
  const baseline = (change: Record<string, readonly string[]>, matchTags: readonly string[] = []) => ({
    matchTags,
    pcrs: { sha256: { ...Object.fromEntries(Object.entries(sha256).map(([n, value]) => [n, [value]])), ...change } },
  });

  it('have to be approved, each of them (AT-06)', () => {
    for (const register of Object.keys(sha256)) {
      const verdict = quoted(rsa, { basis: { baselines: [baseline({ [register]: ['00'.repeat(31) + 'ff'] })] } });
      refused(verdict, 'pcr_mismatch');
      assert.deepEqual(verdict.facts, { bank: 'sha256', pcr: Number(register), differing: 1 });
    }
    refused(
      measurement(undefined, {
        basis: basisOf({ sha256: { ...pcrs.sha256, 0: 'ee'.repeat(32) } }) && {
          baselines: basisOf({ sha256: { ...pcrs.sha256, 0: 'ee'.repeat(32) } }).baselines,
        },
      }),
      'pcr_mismatch',
    );
    refused(quoted(rsa, { basis: { baselines: [] } }), 'baseline_missing');
    refused(measurement(undefined, { basis: { baselines: [] } }), 'baseline_missing');
  });

  it('are compared by the baseline of the tags that operators gave (AT-06)', () => {
    const baselines = [baseline({ 0: ['ff'.repeat(32)] }), baseline({}, ['server'])];
    refused(quoted(rsa, { basis: { baselines } }), 'pcr_mismatch');
    verified(quoted(rsa, { basis: { baselines }, circumstances: { assigned_tags: ['berlin', 'server'] } }));
    const twice = [...baselines, baseline({ 1: ['ff'.repeat(32)] }, ['server', 'berlin'])];
    refused(
      quoted(rsa, { basis: { baselines: twice }, circumstances: { assigned_tags: ['berlin', 'server'] } }),
      'pcr_mismatch',
    );
  });

  it('are of the registers that were asked for: no more, no fewer, of no other bank', () => {
    const { 14: last = '', ...fewer } = sha256;
    refused(quoted(rsa, { evidence: { pcrs: { sha256: fewer } } }), 'pcr_selection');
    refused(quoted(rsa, { evidence: { pcrs: { sha256: { ...sha256, 15: last } } } }), 'pcr_selection');
    refused(quoted(rsa, { evidence: { pcrs: { sha384: sha256 } } }), 'malformed');
    refused(quoted(rsa, { evidence: { pcrs: { sha256: { ...sha256, 14: '00'.repeat(32) } } } }), 'pcr_digest');
    refused(measurement(measured({ pcrs: { sha256: { 0: 'ab'.repeat(32) } } })), 'pcr_selection');
    refused(measurement(measured({ pcrs: { sha256: { ...pcrs.sha256, 1: 'ab'.repeat(32) } } })), 'pcr_selection');
  });

  it('are asked for again when the approved registers have changed since', () => {
    for (const selection of [{ sha256: [0] }, { sha256: [0, 1, 2, 4, 7, 14, 16] }, { sha384: [0, 1, 2, 4, 7, 14] }])
      refused(quoted(rsa, { challenge: { selection } }), 'challenge_outdated', 'attestation.stale');
  });
});

describe('time', () => {
  const at = (seconds: number) => measured({ measuredAt: new Date(judgedAt.getTime() + seconds * 1000) });

  it('of a measurement: not too old and not from the future, but for the skew (AT-04)', () => {
    const recent = { challenge: { issued_at: judgedAt.toISOString(), expires_at: after(999).toISOString() } };
    verified(measurement(at(-330), recent));
    refused(measurement(at(-331), recent), 'too_old', 'attestation.stale');
    verified(measurement(at(30), recent));
    refused(measurement(at(31), recent), 'clock_ahead');
  });

  it('of the TPM goes forward: evidence from before is refused, and a restart is seen', () => {
    const { clock } = quoted(rsa);
    assert.ok(clock !== null);
    const before = (change: object) => ({
      circumstances: { proven: bindingOf(rsa), last_clock: { ...clock, ...change } },
    });
    assert.deepEqual(quoted(rsa, before({})).facts, {});
    refused(quoted(rsa, before({ clock_ms: clock.clock_ms + 1 })), 'clock_went_back');
    refused(quoted(rsa, before({ reset_count: clock.reset_count + 1, clock_ms: 0 })), 'clock_went_back');
    refused(quoted(rsa, before({ restart_count: clock.restart_count + 1, clock_ms: 0 })), 'clock_went_back');
    const rebooted = quoted(rsa, before({ reset_count: clock.reset_count - 1 }));
    verified(rebooted);
    assert.equal(rebooted.facts['rebooted'], true);
    // Of another key it says nothing.
    verified(
      quoted(rsa, {
        circumstances: {
          proven: bindingOf(rsa, { key_id: p256.ak_name }),
          last_clock: { ...clock, reset_count: clock.reset_count + 1 },
        },
      }),
    );
  });
});

describe('a key that was never seen', () => {
  /** Evidence of the vector's key, in a TPM whose endorsement key we have. */
  function ownTpm(vector: QuoteVector) {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const area = Buffer.from(bytesOf(rsa.evidence.ek_public ?? ''));
    bytesOf(publicKey.export({ format: 'jwk' }).n ?? '').copy(area, area.length - 256);
    return { privateKey, evidence: { ...vector.evidence, ek_public: textOf(area) }, ek: readEndorsementKey(area) };
  }

  const judge = (
    evidence: unknown,
    challenge: StoredChallenge,
    circumstances: Partial<AttestationCircumstances> = {},
  ) =>
    judgeEvidence({
      evidence,
      circumstances: circumstancesFor(p256, { challenge, ...circumstances }),
      basis: quoteBasis(p256),
      now: judgedAt,
    });
  const open = challengeOf(p256, { activation: null });

  it('is unproven until its TPM has opened a credential, and then verified', () => {
    const { privateKey, evidence, ek } = ownTpm(p256);
    const verdict = judge(evidence, open);
    assert.deepEqual([verdict.outcome, verdict.code, verdict.fresh_until], ['unproven', null, null]);
    assert.deepEqual([verdict.key_id, verdict.binding_id], [p256.ak_name, ek.id]);
    const activation = activationFor({
      evidence,
      verdict,
      basis: quoteBasis(p256),
      now: judgedAt,
      random: systemRandom,
    });
    assert.ok(activation !== null);
    const secret = openCredential({
      ek,
      privateKey,
      akName: Buffer.from(p256.ak_name, 'hex'),
      credential: {
        credentialBlob: bytesOf(activation.credential_blob),
        encryptedSecret: bytesOf(activation.encrypted_secret),
      },
    });
    const asked = { ...open, activation };
    verified(judge({ ...evidence, activated_secret: textOf(secret) }, asked));
    assert.equal(judge(evidence, asked).outcome, 'unproven', 'without the secret');
    assert.equal(judge({ ...evidence, activated_secret: textOf(secret) }, open).outcome, 'unproven', 'unasked');
    for (let at = 0; at < secret.length; at += 1)
      refused(judge({ ...evidence, activated_secret: textOf(flipped(secret, at, at % 8)) }, asked), 'activation_wrong');
    refused(judge({ ...evidence, activated_secret: textOf(secret.subarray(1)) }, asked), 'activation_wrong');
    const proven = { provider: 'tpm_quote_v1', key_id: p256.ak_name, binding_id: ek.id } as const;
    verified(judge(evidence, open, { proven }));
  });

  it('cannot take over what another key, or another TPM, was given (SA-04)', () => {
    const { evidence } = ownTpm(p256);
    const secret = { activated_secret: textOf(activationSecret) };
    // The same key with another endorsement key, and the same endorsement key with another key.
    assert.equal(judge({ ...evidence, ...secret }, challengeOf(p256)).outcome, 'unproven');
    const { activation } = challengeOf(p256);
    assert.ok(activation !== null);
    const otherKey = { ...activation, key_id: rsa.ak_name };
    assert.equal(quoted(p256, { challenge: { activation: otherKey } }).outcome, 'unproven');
    const otherTpm = { ...activation, endorsement_key_id: endorsementIdOf(rsa) };
    assert.equal(quoted(p256, { challenge: { activation: otherTpm } }).outcome, 'unproven');
    // What was proven with another TPM is not proven with this one.
    const proven = bindingOf(p256, { binding_id: endorsementIdOf(rsa) });
    assert.equal(judge(p256.evidence, open, { proven }).outcome, 'unproven');
    assert.throws(
      () =>
        activationFor({
          evidence: rsa.evidence,
          verdict: judge(p256.evidence, open),
          basis: quoteBasis(p256),
          now: judgedAt,
          random: systemRandom,
        }),
      RangeError,
    );
  });

  it('has to say which endorsement key its TPM has', () => {
    const { ek_public: _, ...without } = provenEvidence(p256);
    refused(judge(without, challengeOf(p256)), 'endorsement_missing');
  });
});

describe('what the device is bound to', () => {
  const bound = bindingOf(rsa);
  const { ek_public: _, ...bare } = rsa.evidence;

  it('is verified with the very key, also when the evidence no longer names its TPM', () => {
    const judge = (evidence: unknown, proven: AttestationBinding | null) =>
      judgeEvidence({
        evidence,
        circumstances: circumstancesFor(rsa, { bound, proven, challenge: challengeOf(rsa, { activation: null }) }),
        basis: quoteBasis(rsa),
        now: judgedAt,
      });
    verified(judge(rsa.evidence, bound));
    const verdict = judge(bare, bound);
    verified(verdict);
    assert.equal(verdict.binding_id, bound.binding_id);
    // Whose it is was approved; where it lives it has to show itself, and in this hardware.
    for (const proven of [null, { ...bound, key_id: 'f'.repeat(68) }, { ...bound, binding_id: 'f'.repeat(64) }])
      for (const evidence of [rsa.evidence, bare]) assert.equal(judge(evidence, proven).outcome, 'unproven');
  });

  it('refuses other hardware, with any key and any setting (AT-09)', () => {
    for (const allow of [false, true]) {
      const verdict = quoted(rsa, {
        circumstances: { bound: bindingOf(rsa, { binding_id: 'f'.repeat(64) }) },
        basis: { allow_key_rotation_with_stable_binding: allow },
      });
      refused(verdict, 'other_hardware', 'attestation.hardware_mismatch');
      assert.deepEqual(verdict.facts, { bound: 'f'.repeat(64), found: endorsementIdOf(rsa) });
    }
  });

  it('lets another key of the same hardware prove itself, and of no other', () => {
    const circumstances = { bound: bindingOf(rsa, { key_id: p256.ak_name }) };
    verified(quoted(rsa, { circumstances }));
    assert.equal(quoted(rsa, { circumstances, challenge: { activation: null } }).outcome, 'unproven');
    // Nothing is stable about hardware that nobody knows.
    const unknown = { bound: bindingOf(rsa, { key_id: p256.ak_name, binding_id: null }) };
    refused(quoted(rsa, { circumstances: unknown }), 'other_key', 'attestation.hardware_mismatch');
    const bareOfOther = judgeEvidence({
      evidence: bare,
      circumstances: circumstancesFor(rsa, circumstances),
      basis: quoteBasis(rsa),
      now: judgedAt,
    });
    refused(bareOfOther, 'other_key', 'attestation.hardware_mismatch');
  });

  it('refuses a measurement by another key (AT-09)', () => {
    const other = { provider: 'signed_measurement_v1', key_id: 'a'.repeat(64), binding_id: null } as const;
    refused(measurement(undefined, { circumstances: { bound: other } }), 'other_key', 'attestation.hardware_mismatch');
    // A binding of another provider says nothing.
    verified(measurement(undefined, { circumstances: { bound } }));
  });

  it('has to be known where policy asks for that (AT-07)', () => {
    const basis = { require_hardware_binding: true };
    verified(quoted(rsa, { basis }));
    const judged = judgeEvidence({
      evidence: bare,
      circumstances: circumstancesFor(rsa, { bound: bindingOf(rsa, { binding_id: null }) }),
      basis: quoteBasis(rsa, basis),
      now: judgedAt,
    });
    refused(judged, 'hardware_unbound');
  });

  it('is one of the endorsement keys that may enroll, at first', () => {
    const basis = { allowed_endorsement_keys: ['0'.repeat(64)] };
    refused(quoted(rsa, { basis }), 'endorsement_key_not_allowed');
    verified(quoted(rsa, { basis: { allowed_endorsement_keys: [endorsementIdOf(rsa)] } }));
    verified(quoted(rsa, { basis, circumstances: { bound } }));
  });
});

describe('the endorsement chain', () => {
  const basis = { require_endorsement_chain: true, endorsement_roots: [swtpmRoot] };
  let root: IssuedCertificate;
  let other: IssuedCertificate;
  const purpose = '2.23.133.8.1';
  const day = 86_400_000;
  const validity = { notBefore: new Date(judgedAt.getTime() - day), notAfter: new Date(judgedAt.getTime() + day) };
  const forged = (issuer: IssuedCertificate, change: Parameters<typeof forgeLeaf>[1] = {}) =>
    forgeLeaf(issuer, {
      subject: [{ O: [{ utf8String: 'Infineon Technologies AG' }] }],
      keyUsage: ['keyAgreement'],
      extendedKeyUsage: [purpose],
      ...validity,
      ...change,
    });
  /** The key of the certificate is the endorsement key, for which the credential was. */
  function chained(leaf: IssuedCertificate, chain: readonly IssuedCertificate[] = [], change: Change = {}): Verdict {
    const { ek_public: _, ...bare } = provenEvidence(rsa);
    const { activation } = challengeOf(rsa);
    assert.ok(activation !== null);
    const key = endorsementKeyOf(createPublicKey(leaf.certificatePem));
    return judgeEvidence({
      evidence: {
        ...bare,
        ek_certificate: leaf.certificatePem,
        endorsement_chain: chain.map(({ certificatePem }) => certificatePem),
        ...change.evidence,
      },
      circumstances: circumstancesFor(rsa, {
        challenge: challengeOf(rsa, { activation: { ...activation, endorsement_key_id: key.id } }),
      }),
      basis: quoteBasis(rsa, {
        require_endorsement_chain: true,
        endorsement_roots: [root.certificatePem],
        ...change.basis,
      }),
      now: judgedAt,
    });
  }

  before(async () => {
    root = await forgeAuthority('Root');
    other = await forgeAuthority('Other');
  });

  it('is proven where it is asked for, by the roots that are configured (AT-10)', async () => {
    const verdict = quoted(rsa, { basis, evidence: certified });
    verified(verdict);
    assert.deepEqual([verdict.binding_source, verdict.binding_id], ['certificate', endorsementIdOf(rsa)]);
    verified(chained(await forged(root)));
    refused(quoted(rsa, { basis }), 'endorsement_missing');
    refused(quoted(rsa, { basis: { ...basis, endorsement_roots: [] }, evidence: certified }), 'endorsement_untrusted');
    refused(chained(await forged(other)), 'endorsement_untrusted');
    refused(chained(await forged(other), [other]), 'endorsement_untrusted');
    refused(quoted(rsa, { basis, evidence: { ek_certificate: certified.ek_certificate } }), 'endorsement_untrusted');
    const anotherKey = { ek_public: rsa.evidence.ek_public };
    refused(chained(await forged(root), [], { evidence: anotherKey }), 'endorsement_untrusted');
    // Without the demand it is no hindrance, and no proof either.
    const lax = chained(await forged(other), [], { basis: { require_endorsement_chain: false } });
    assert.deepEqual([lax.outcome, lax.binding_source], ['verified', 'key']);
  });

  it('is of certificates that are what they have to be (SA-11)', async () => {
    const leaf = await forged(root);
    const expired = { notAfter: new Date(judgedAt.getTime() - 1000) };
    refused(chained(await forged(root, expired)), 'endorsement_expired');
    const old = await forgeAuthority('Old', { issuer: root, ...expired });
    refused(chained(await forged(old), [old]), 'endorsement_expired');
    const noAuthority = await forgeLeaf(root, { ...validity, keyUsage: ['keyCertSign'], extendedKeyUsage: [purpose] });
    refused(chained(await forged(noAuthority), [noAuthority]), 'endorsement_untrusted');
    const asIssuer = await forgeLeaf(root, { ...validity, keyUsage: ['keyAgreement'], extendedKeyUsage: [purpose] });
    refused(chained(await forged(asIssuer), [asIssuer]), 'endorsement_untrusted');
    refused(
      chained(await forgeAuthority('CA', { issuer: root, extendedKeyUsage: [purpose] })),
      'endorsement_untrusted',
    );
    refused(chained(await forged(root, { extendedKeyUsage: [] })), 'endorsement_untrusted');
    refused(chained(await forged(root, { extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'] })), 'endorsement_untrusted');
    refused(chained(await forged(root, { keyUsage: ['digitalSignature'] })), 'endorsement_untrusted');
    refused(chained(root), 'endorsement_untrusted');
    verified(chained(leaf));
  });

  it('names a manufacturer of the list (AT-11)', async () => {
    const leaf = await forged(root);
    const allowing = (allowed: string[], evidence = {}) =>
      chained(leaf, [], { evidence, basis: { allowed_tpm_manufacturers: allowed } });
    refused(allowing(['STM']), 'manufacturer_not_allowed');
    verified(allowing(['infineon technologies ag'], { tpm_manufacturer: 'Infineon Technologies AG' }));
    refused(allowing(['Infineon Technologies AG'], { tpm_manufacturer: 'STM' }), 'manufacturer_not_allowed');
    const without = (evidence: object) => quoted(rsa, { evidence, basis: { allowed_tpm_manufacturers: ['IFX'] } });
    verified(without({ tpm_manufacturer: 'ifx' }));
    refused(without({ tpm_manufacturer: 'STM' }), 'manufacturer_not_allowed');
    refused(without({}), 'manufacturer_not_allowed');
  });
});

describe('an external verifier', () => {
  const external = (answer: Json, change: Change = {}) =>
    quoted(rsa, {
      ...change,
      circumstances: { external: answer, ...change.circumstances },
      basis: { verifier: 'command', ...change.basis },
    });

  it('counts with a yes that is one, and with nothing else (AT-03, AT-14)', () => {
    verified(external({ valid: true }));
    refused(external({ valid: false }), 'verifier_refused');
    assert.equal(external({ valid: false, reason: 'bad\nboot' }).detail, 'bad boot');
    for (const answer of [
      null,
      true,
      [],
      {},
      { valid: 'true' },
      { valid: 1 },
      { valid: null },
      { valid: true, more: 1 },
      'true',
    ])
      refused(external(answer), 'verifier_failed');
    for (const answer of [
      { reason: 7 },
      { pcrs: {} },
      { hardware_identity: 'x' },
      { endorsement_chain: [] },
      { endorsement_chain: [1] },
    ])
      refused(external({ valid: true, ...answer }), 'verifier_failed');
  });

  it('does not stand in for what we can see ourselves (AT-03)', () => {
    const yes = { valid: true };
    refused(
      external(yes, { evidence: { nonce: p256.challenge.nonce } }),
      'other_challenge',
      'attestation.nonce_unknown',
    );
    refused(
      external(yes, { evidence: { quote: p256.evidence.quote } }),
      'other_challenge',
      'attestation.nonce_unknown',
    );
    refused(external({ ...yes, pcrs: { sha256: {} } }), 'verifier_failed');
    const values = rsa.evidence.pcrs.sha256 ?? {};
    refused(external({ ...yes, pcrs: { sha256: { ...values, 0: '00'.repeat(32) } } }), 'pcr_digest');
    verified(external({ ...yes, pcrs: { sha256: values } }));
    const { pcrs: _, ...silent } = rsa.evidence;
    const judged = (answer: Json) =>
      judgeEvidence({
        evidence: silent,
        circumstances: circumstancesFor(rsa, { external: answer }),
        basis: quoteBasis(rsa, { verifier: 'command' }),
        now: judgedAt,
      });
    refused(judged(yes), 'pcr_selection');
    verified(judged({ ...yes, pcrs: { sha256: values } }));
    refused(judged({ ...yes, pcrs: { sha256: { ...values, 0: '00'.repeat(32) } } }), 'pcr_mismatch');
  });

  it('names the hardware in its own words (AT-14, AT-09)', () => {
    const says = (hardware_identity: Json, change: Change = {}) => external({ valid: true, hardware_identity }, change);
    assert.equal(says({ binding_id: 'b-1' }).binding_id, 'b-1');
    assert.equal(says({ endorsement_key_id: 'e-1' }).binding_id, 'e-1');
    assert.equal(says({ binding_id: 'b-1', endorsement_key_id: 'e-1' }).binding_id, 'b-1');
    const circumstances = { bound: bindingOf(rsa, { binding_id: 'b-1' }) };
    verified(says({ binding_id: 'b-1' }, { circumstances }));
    refused(says({ binding_id: 'b-2' }, { circumstances }), 'other_hardware', 'attestation.hardware_mismatch');
    refused(external({ valid: true }, { basis: { require_hardware_binding: true } }), 'hardware_unbound');
  });

  it('may forward a chain, which is judged by our roots (AT-14, AT-10)', () => {
    const basis = { require_endorsement_chain: true, endorsement_roots: [swtpmRoot] };
    const chain = [certified.ek_certificate, swtpmIntermediate];
    const verdict = external({ valid: true, endorsement_chain: chain }, { basis });
    verified(verdict);
    assert.deepEqual([verdict.binding_source, verdict.binding_id], ['certificate', endorsementIdOf(rsa)]);
    refused(
      external({ valid: true, endorsement_chain: [certified.ek_certificate] }, { basis }),
      'endorsement_untrusted',
    );
    refused(external({ valid: true, endorsement_chain: chain.toReversed() }, { basis }), 'endorsement_untrusted');
    refused(external({ valid: true }, { basis }), 'endorsement_missing');
  });
});

describe('anything else', () => {
  const isGood = ({ outcome, key_id }: Verdict, keyId: string): boolean => outcome === 'verified' && key_id === keyId;

  it('with any one byte changed is not verified: quote, signature, nonce, key and registers (SA-02)', () => {
    for (const vector of vectors.quotes) {
      const bound = { circumstances: { bound: bindingOf(vector) } };
      for (const field of ['quote', 'signature', 'nonce', 'ak_public'] as const) {
        const bytes = bytesOf(vector.evidence[field]);
        for (let at = 0; at < bytes.length; at += 1) {
          const evidence = { [field]: textOf(flipped(bytes, at, at % 8)) };
          assert.ok(
            quoted(vector, { ...bound, evidence }).outcome !== 'verified',
            `${vector.kind.scheme} ${field}[${at}]`,
          );
        }
      }
      for (const [bank, values] of Object.entries(vector.evidence.pcrs))
        for (const [register, value] of Object.entries(values))
          for (let at = 0; at < value.length; at += 1) {
            const changed = value.slice(0, at) + (value[at] === '0' ? '1' : '0') + value.slice(at + 1);
            const evidence = { pcrs: { ...vector.evidence.pcrs, [bank]: { ...values, [register]: changed } } };
            refused(quoted(vector, { ...bound, evidence }), 'pcr_digest');
          }
    }
  });

  it('with any one byte changed is not verified: a measurement, its key and its signature (SA-02)', () => {
    const good = JSON.stringify(measured());
    const bound = {
      provider: 'signed_measurement_v1',
      key_id: keyOfMeasurement(pair.publicKey),
      binding_id: null,
    } as const;
    const spelled = JSON.stringify(canonical(JSON.parse(good)));
    for (let at = 0; at < good.length; at += 1) {
      const bytes = flipped(Buffer.from(good), at, at % 7);
      let evidence: unknown;
      try {
        evidence = JSON.parse(bytes.toString());
      } catch {
        continue;
      }
      // White space in PEM says nothing.
      if (JSON.stringify(canonical(evidence)) === spelled) continue;
      assert.equal(
        measurement(evidence, { circumstances: { bound } }).outcome,
        'refused',
        `${at}: ${bytes.toString()}`,
      );
    }
  });

  function canonical(value: unknown): unknown {
    const { public_key, ...rest } = value as { public_key?: unknown };
    return { ...rest, public_key: typeof public_key === 'string' ? public_key.replaceAll(/\s/g, '') : public_key };
  }

  it('is refused whatever it is, and nothing is thrown (SA-03, SA-22)', () => {
    const good = [...vectors.quotes.map(provenEvidence), measured()] as unknown as Json[];
    const leaf = fc.oneof(
      fc.json().map((text) => JSON.parse(text) as Json),
      fc.constantFrom<Json>(null, '', 'AAAA', 0, -1, [], {}),
    );
    const mutated = fc
      .tuple(fc.constantFrom(...good), fc.nat(), leaf, fc.constantFrom('set', 'drop', 'add'))
      .map(([evidence, which, value, how]) => mutate(evidence, which, value, how));
    fc.assert(
      fc.property(fc.oneof(mutated, leaf), (evidence) => {
        for (const verifier of ['built_in', 'command'] as const) {
          const verdict = judgeEvidence({
            evidence,
            circumstances: circumstancesFor(rsa, { bound: bindingOf(rsa), proven: bindingOf(rsa) }),
            basis: quoteBasis(rsa, { verifier }),
            now: judgedAt,
          });
          if (isGood(verdict, rsa.ak_name)) assert.deepEqual(essence(evidence), essence(good[0]));
          else assert.ok(verdict.outcome === 'refused' && verdict.code !== null && verdict.reason !== null);
        }
        const verdict = measurement(evidence);
        if (verdict.outcome === 'verified') assert.deepEqual(evidence, measured());
      }),
      { seed: 20_261_126, numRuns: 1_500 },
    );
  });

  /** What a verdict rests on; the rest is hearsay, which decides nothing here. */
  function essence(evidence: Json | undefined): unknown {
    const {
      provider,
      nonce: answered,
      quote,
      signature,
      pcrs: values,
      ak_public,
    } = Object(evidence) as TpmEvidenceOnTheWire;
    return { provider, answered, quote, signature, values, ak_public };
  }

  function mutate(evidence: Json, which: number, value: Json, how: string): Json {
    const copy = structuredClone(evidence) as Record<string, Json>;
    const places: [Record<string, Json>, string][] = [];
    const walk = (at: Record<string, Json>): void => {
      for (const [name, member] of Object.entries(at)) {
        places.push([at, name]);
        if (typeof member === 'object' && member !== null) walk(member as Record<string, Json>);
      }
    };
    walk(copy);
    const [at, name] = places[which % places.length] as [Record<string, Json>, string];
    if (how === 'set') at[name] = value;
    else if (how === 'drop') delete at[name];
    else at['added'] = value;
    return copy;
  }
});

describe('an activation on record', () => {
  const { activated_secret: secret, ...good } = { ...provenEvidence(rsa) };
  const proof: ActivationRecord = {
    at: judgedAt.toISOString(),
    evidence: { ...good, activated_secret: secret } as unknown as Json,
    challenge: challengeOf(rsa),
  };
  const later = challengeOf(rsa, { activation: null });
  const judged = (activation: ActivationRecord | null, change: Partial<AttestationCircumstances> = {}): Verdict =>
    judgeEvidence({
      evidence: good,
      // Nothing of what is said about the key is believed.
      circumstances: circumstancesFor(rsa, {
        challenge: later,
        bound: bindingOf(rsa),
        proven: bindingOf(rsa),
        ...change,
      }),
      basis: quoteBasis(rsa),
      now: judgedAt,
      activation,
    });
  const saying = (evidence: object): ActivationRecord => ({
    ...proof,
    evidence: { ...good, ...evidence } as unknown as Json,
  });
  const asking = (change: Partial<StoredChallenge>): ActivationRecord => ({
    ...proof,
    challenge: challengeOf(rsa, change),
  });
  const activation = challengeOf(rsa).activation;

  it('is what a key lives by, whatever the circumstances say (SA-03, AT-07)', () => {
    verified(judged(proof));
    verified(judged(proof, { proven: null }));
    assert.equal(judged(null).outcome, 'unproven');
  });

  it('proves nothing without the credential and its secret, for this key and this hardware (AT-07)', () => {
    assert.ok(activation !== null);
    const cases: readonly (readonly [EvidenceFault, ActivationRecord])[] = [
      ['key_unproven', saying({})],
      ['key_unproven', asking({ activation: null })],
      ['key_unproven', asking({ activation: { ...activation, key_id: p256.ak_name } })],
      ['key_unproven', asking({ activation: { ...activation, endorsement_key_id: 'f'.repeat(64) } })],
      ['activation_wrong', saying({ activated_secret: textOf(Buffer.alloc(32, 1)) })],
      ['activation_wrong', asking({ activation: { ...activation, secret_sha256: 'f'.repeat(64) } })],
      ['malformed', { ...proof, evidence: null }],
    ];
    for (const [reason, record] of cases) refused(judged(record), reason);
    refused(judged(asking({ nonce: textOf(Buffer.alloc(32, 1)) })), 'other_challenge', 'attestation.nonce_unknown');
  });

  it('of another key, however sound, proves nothing of this one (SA-04)', () => {
    const other: ActivationRecord = {
      at: proof.at,
      evidence: provenEvidence(p256) as unknown as Json,
      challenge: challengeOf(p256),
    };
    assert.equal(judged(other).outcome, 'unproven');
  });

  it('with any one byte changed of its quote, its signature or its secret proves nothing (SA-02)', () => {
    const { pcrs: _pcrs, endorsement_chain: _chain, ...fields } = provenEvidence(rsa);
    for (const field of ['quote', 'signature', 'activated_secret', 'nonce', 'ak_public'] as const) {
      const bytes = bytesOf(fields[field] ?? '');
      for (let at = 0; at < bytes.length; at += 1) {
        const record = saying({ activated_secret: secret, [field]: textOf(flipped(bytes, at, at % 8)) });
        assert.notEqual(judged(record).outcome, 'verified', `${field}[${at}]`);
      }
    }
  });
});

describe('a step that fails', () => {
  /** Each is reached through something that the judge is given: getters stand for code that throws. */
  const throwing = (target: object, path: string): unknown =>
    new Proxy(target, {
      get(of, name) {
        if (name === path) throw new TypeError('broken');
        return Reflect.get(of, name) as unknown;
      },
    });

  it('comes to a refusal: whatever the judge reads of rules and circumstances throws (SA-03)', () => {
    const given = {
      evidence: provenEvidence(rsa),
      circumstances: circumstancesFor(rsa),
      basis: quoteBasis(rsa),
      now: judgedAt,
    };
    const read: string[] = [];
    for (const part of ['circumstances', 'basis'] as const) {
      for (const name of Object.keys(given[part])) {
        const verdict = judgeEvidence({ ...given, [part]: throwing(given[part], name) });
        if (verdict.outcome === 'refused') {
          assert.deepEqual([verdict.code, verdict.key_id], ['attestation.failed', null]);
          read.push(name);
        }
        const gone = judgeEvidence({ ...given, [part]: { ...given[part], [name]: undefined } });
        const unread = ['device_id', 'external', 'challenge_ttl_seconds'];
        // Nothing known and nothing asked for, and a baseline for all devices.
        const harmless = [
          'require_hardware_binding',
          'allow_key_rotation_with_stable_binding',
          'require_endorsement_chain',
          'assigned_tags',
        ];
        if (gone.outcome === 'verified')
          assert.ok([...unread, ...harmless, 'bound', 'proven', 'last_clock', 'verifier'].includes(name), name);
      }
    }
    for (const name of [
      'challenge',
      'bound',
      'proven',
      'assigned_tags',
      'baselines',
      'max_evidence_age_seconds',
      'allowed_endorsement_keys',
    ])
      assert.ok(read.includes(name), `${name} is read`);
    for (const part of ['evidence', 'circumstances', 'basis', 'now'] as const)
      for (const nothing of [undefined, null, false, 0, '', {}])
        assert.equal(
          judgeEvidence({ ...given, [part]: nothing } as never).outcome,
          'refused',
          `${part} ${JSON.stringify(nothing)}`,
        );
  });
});

describe('signatures at the edge', () => {
  it('of Ed25519: S that is not reduced, and keys that anybody can sign for (SA-02)', () => {
    const good = measured();
    const signature = bytesOf(good.signature);
    const order = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn;
    const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`);
    const raised = Buffer.from((s + order).toString(16).padStart(64, '0'), 'hex').reverse();
    refused(
      measurement({ ...good, signature: textOf(Buffer.concat([signature.subarray(0, 32), raised])) }),
      'signature_invalid',
    );
    // For the neutral element R = S·B fits any message, with S = 0 and R neutral itself.
    const neutral = Buffer.concat([Buffer.of(1), Buffer.alloc(31)]);
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), neutral]);
    const key = `-----BEGIN PUBLIC KEY-----\n${spki.toString('base64')}\n-----END PUBLIC KEY-----\n`;
    refused(
      measurement({ ...good, public_key: key, signature: textOf(Buffer.concat([neutral, Buffer.alloc(32)])) }),
      'key_unfit',
    );
  });

  it('of ECDSA: r and s that are zero, or not below the order (SA-02)', () => {
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const number = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
    const made = bytesOf(p256.evidence.signature);
    const [r, s] = [made.subarray(6, 38), made.subarray(40, 72)];
    const signature = (first: Buffer, second: Buffer) => {
      const sized = (bytes: Buffer) => Buffer.concat([Buffer.of(0, bytes.length), bytes]);
      return { signature: textOf(Buffer.concat([made.subarray(0, 4), sized(first), sized(second)])) };
    };
    verified(quoted(p256, { evidence: signature(r, s) }));
    for (const edge of [0n, order, order + 1n, 2n ** 256n - 1n]) {
      refused(quoted(p256, { evidence: signature(number(edge), s) }), 'signature_invalid');
      refused(quoted(p256, { evidence: signature(r, number(edge)) }), 'signature_invalid');
      refused(quoted(p256, { evidence: signature(number(edge), number(edge)) }), 'signature_invalid');
    }
  });

  /** The vector's quote under an RSA key of ours, with a signature made by hand. */
  function underOwnKey(vector: QuoteVector, bits: number, make: (key: KeyObject, quote: Buffer) => Buffer): Verdict {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
    const modulus = bytesOf(publicKey.export({ format: 'jwk' }).n ?? '');
    const old = bytesOf(vector.evidence.ak_public);
    const area = Buffer.concat([
      old.subarray(0, old.length - 258),
      Buffer.of(modulus.length >> 8, modulus.length & 255),
      modulus,
    ]);
    area.writeUInt16BE(area.length - 2, 0);
    // keyBits stand before the exponent and the modulus.
    area.writeUInt16BE(bits, area.length - modulus.length - 8);
    const quote = bytesOf(vector.evidence.quote);
    const bytes = make(privateKey, quote);
    const header = bytesOf(vector.evidence.signature).subarray(0, 4);
    const signature = Buffer.concat([header, Buffer.of(bytes.length >> 8, bytes.length & 255), bytes]);
    return quoted(vector, {
      evidence: { ak_public: textOf(area), signature: textOf(signature) },
      challenge: { activation: null },
    });
  }

  it('of RSA PKCS#1 v1.5: only the one padding there is (SA-02)', () => {
    const info = Buffer.from('3031300d060960864801650304020105000420', 'hex');
    const raw = (block: (digest: Buffer) => Buffer) => (key: KeyObject, quote: Buffer) =>
      modularPower(key, block(createHash('sha256').update(quote).digest()));
    const padded = (type: number, filler: number, tail: Buffer): Buffer =>
      Buffer.concat([Buffer.of(0, type), Buffer.alloc(256 - 3 - tail.length, filler), Buffer.of(0), tail]);
    const good = (digest: Buffer): Buffer => padded(1, 0xff, Buffer.concat([info, digest]));
    assert.equal(underOwnKey(rsa, 2048, raw(good)).outcome, 'unproven', 'the padding as it should be');
    assert.equal(underOwnKey(rsa, 2048, (key, quote) => sign('sha256', quote, key)).outcome, 'unproven');
    const bad: Readonly<Record<string, (digest: Buffer) => Buffer>> = {
      'block type 2': (digest) => padded(2, 0xff, Buffer.concat([info, digest])),
      'other filler': (digest) => padded(1, 0xfe, Buffer.concat([info, digest])),
      'no algorithm': (digest) => padded(1, 0xff, digest),
      'another algorithm': (digest) =>
        padded(1, 0xff, Buffer.concat([Buffer.from(info.toString('hex').replace('0201', '0202'), 'hex'), digest])),
      'no NULL': (digest) =>
        padded(
          1,
          0xff,
          Buffer.concat([Buffer.from('302f300b0609608648016503040201', 'hex'), Buffer.from('0420', 'hex'), digest]),
        ),
      'bytes behind it': (digest) =>
        Buffer.concat([
          Buffer.of(0, 1),
          Buffer.alloc(8, 0xff),
          Buffer.of(0),
          info,
          digest,
          Buffer.alloc(256 - 11 - 51),
        ]),
      'another digest': (digest) => padded(1, 0xff, Buffer.concat([info, flipped(digest, 0, 0)])),
    };
    for (const [name, block] of Object.entries(bad)) {
      const verdict = underOwnKey(rsa, 2048, raw(block));
      assert.deepEqual([verdict.outcome, verdict.reason], ['refused', 'signature_invalid'], name);
    }
  });

  it('of RSA PSS: salts of the digest’s length and the longest, as TPMs make them; no other scheme (SA-02)', () => {
    const pss = quoteVector('rsapss', 'sha256');
    // RSA_PKCS1_PSS_PADDING
    const salted = (saltLength: number) => (key: KeyObject, quote: Buffer) =>
      sign('sha256', quote, { key, padding: 6, saltLength });
    for (const saltLength of [32, 256 - 32 - 2])
      assert.equal(underOwnKey(pss, 2048, salted(saltLength)).outcome, 'unproven');
    refused(
      underOwnKey(pss, 2048, (key, quote) => sign('sha256', quote, key)),
      'signature_invalid',
    );
    refused(
      underOwnKey(pss, 2048, (key, quote) => sign('sha384', quote, { key, padding: 6, saltLength: 32 })),
      'signature_invalid',
    );
    refused(underOwnKey(rsa, 2048, salted(32)), 'signature_invalid');
  });

  it('of keys that are too weak, or on other curves (SA-02)', () => {
    refused(
      underOwnKey(rsa, 1024, (key, quote) => sign('sha256', quote, key)),
      'malformed',
    );
    const area = bytesOf(p256.evidence.ak_public);
    // The curve stands before key derivation and the two coordinates: 2 + 2 + 2 · 34 bytes from the end.
    for (const curve of [0x0001, 0x0002, 0x0005, 0x0010, 0x0020]) {
      const other = Buffer.from(area);
      other.writeUInt16BE(curve, other.length - 72);
      refused(quoted(p256, { evidence: { ak_public: textOf(other) } }), 'malformed');
    }
    for (const namedCurve of ['secp224r1', 'secp256k1']) {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve });
      assert.throws(() => endorsementKeyOf(publicKey), { code: 'attestation.failed' });
    }
  });

  /** RSA without padding. */
  function modularPower(key: KeyObject, block: Buffer): Buffer {
    const { n = '', d = '' } = key.export({ format: 'jwk' });
    const [modulus, exponent] = [n, d].map((text) => BigInt(`0x${bytesOf(text).toString('hex')}`)) as [bigint, bigint];
    let result = 1n;
    let base = BigInt(`0x${block.toString('hex')}`) % modulus;
    for (let rest = exponent; rest > 0n; rest >>= 1n) {
      if ((rest & 1n) === 1n) result = (result * base) % modulus;
      base = (base * base) % modulus;
    }
    return Buffer.from(result.toString(16).padStart(512, '0'), 'hex');
  }
});

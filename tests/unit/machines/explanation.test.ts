// The explanation of a tier: whatever the facts, it says what the decision says, and why, and its advice is true.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { attestationStandings, type DeviceAttestation } from '#contracts/attestation.ts';
import { readSettings } from '#contracts/settings.ts';
import {
  approvalKinds,
  attestationStates,
  deviceStates,
  lowestTier,
  trustTiers,
  type TrustTier,
} from '#contracts/states.ts';
import { effectiveTier, tierBounds, tierReasons, type TierInputs, type TierReason } from '#machines/effective-tier.ts';
import { explainedEvidence, type ExplainedEvidence } from '#machines/evidence-words.ts';
import {
  explainDevice,
  explainedQuestions,
  suggestedChange,
  type ExplanationInputs,
  type FactName,
} from '#machines/explanation.ts';

const now = '2026-12-01T12:00:00.000Z';
const policy = readSettings({});
const anyTierInputs: fc.Arbitrary<TierInputs> = fc.record({
  grant: fc.option(fc.record({ state: fc.constantFrom(...deviceStates), tier: fc.constantFrom(...trustTiers) })),
  pinned_not_after: fc.constantFrom(null, now, '2026-12-05T00:00:00.000Z', '2027-11-01T00:00:00.000Z'),
  pinned_revoked: fc.boolean(),
  attestation: fc.constantFrom(...attestationStates),
  identity_verified: fc.boolean(),
});
const names = fc.uniqueArray(fc.constantFrom('ann', 'bob', 'eve'), { maxLength: 3 });
const instants = fc.constantFrom(null, '2026-12-01T11:58:00.000Z');
const anyEvidence: fc.Arbitrary<ExplainedEvidence> = fc.record({
  state: fc.constantFrom(...attestationStandings),
  reason: fc.constantFrom(null, 'pcr_mismatch', 'evidence_missing', 'other_hardware', 'unheard_of'),
  detail: fc.constantFrom(null, 'PCR 7 differs'),
  verified_at: instants,
  fresh_until: instants,
  binding: fc.constantFrom('none', 'this', 'other'),
});
const anyInputs: fc.Arbitrary<ExplanationInputs> = fc.record({
  tier: anyTierInputs,
  revocation: fc.option(
    fc.record({ at: fc.constant(now), by: fc.constant('sam'), reason: fc.constantFrom(null, 'left on a train') }),
  ),
  approved_at: fc.constantFrom(null, '2026-11-24T09:12:00.000Z'),
  approvers: names,
  reason: fc.constantFrom(null, 'checked on site'),
  last_seen_at: fc.constantFrom(
    null,
    '2026-12-01T11:59:59.000Z',
    '2026-12-01T11:58:00.000Z',
    '2026-01-01T00:00:00.000Z',
  ),
  evidence: fc.option(anyEvidence),
  review: fc.option(
    fc.record({
      id: fc.constant('11111111-1111-4111-8111-111111111111'),
      kind: fc.constantFrom(...approvalKinds),
      required: fc.integer({ min: 1, max: 3 }),
      voters: names,
      permission: fc.constant('identity.review' as const),
      expires_at: fc.constant('2026-12-08T12:00:00.000Z'),
    }),
  ),
});
const rank = (tier: TrustTier): number => trustTiers.indexOf(tier);
const explain = (inputs: ExplanationInputs) => explainDevice(inputs, now, policy);
const isBound = (reason: FactName): reason is TierReason => (tierReasons as readonly string[]).includes(reason);
/** How much trust this reason leaves, or full trust when it is no longer so. */
const leaves = (inputs: TierInputs, reason: FactName): number =>
  rank(lowestTier(tierBounds(inputs, now).flatMap((one) => (one.reason === reason ? [one.bound] : []))));

describe('explanation of a tier', () => {
  it('has the tier and the reasons of the decision, whatever the facts', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        const decision = effectiveTier(inputs.tier, now);
        const { trust_tier, facts } = explain(inputs);
        assert.equal(trust_tier, decision.tier);
        const deciding = facts.filter(({ decides }) => decides).map(({ reason }) => reason);
        assert.deepEqual(deciding.toSorted(), decision.reasons.toSorted());
      }),
    );
  });

  it('names each fact once, those that decide first, and none that leaves less trust than there is', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        const { trust_tier, facts } = explain(inputs);
        assert.equal(new Set(facts.map(({ reason }) => reason)).size, facts.length);
        for (const [index, fact] of facts.entries()) {
          assert.ok(rank(fact.at_most) >= rank(trust_tier));
          assert.ok(index === 0 || rank(facts[index - 1]?.at_most ?? 'trusted') <= rank(fact.at_most));
        }
      }),
    );
  });

  it('has words for every fact, every question and how it is heard, whatever is known', () => {
    const seen = new Set<FactName>();
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        const { answers, facts, liveness } = explain(inputs);
        for (const fact of facts) seen.add(fact.reason);
        assert.deepEqual(
          answers.map(({ question }) => question),
          explainedQuestions,
        );
        for (const { text } of [...answers, ...facts, liveness]) {
          assert.match(text, /^[A-Z“a-z].*\.$/s);
          assert.doesNotMatch(text, /undefined|null|NaN|  /);
        }
      }),
      { numRuns: 500 },
    );
    assert.deepEqual(
      tierReasons.filter((reason) => !seen.has(reason)),
      [],
    );
  });

  it('suggests nothing that does not help: each change takes its bound away and lowers no other', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        const { trust_tier, facts } = explain(inputs);
        for (const { reason, at_most, change } of facts) {
          const suggested = suggestedChange(reason, inputs.tier, inputs.evidence);
          assert.equal(change, suggested?.text ?? null);
          if (suggested === null) continue;
          const after = suggested.apply(inputs.tier);
          assert.ok(isBound(reason));
          assert.ok(leaves(after, reason) > rank(at_most), reason);
          assert.ok(rank(effectiveTier(after, now).tier) >= rank(trust_tier), reason);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('leads to full trust when its advice is followed to the end', () => {
    fc.assert(
      fc.property(anyInputs, ({ tier }) => {
        let inputs = tier;
        const steps: string[] = [];
        while (effectiveTier(inputs, now).tier !== 'trusted') {
          const before = effectiveTier(inputs, now);
          for (const reason of before.reasons) inputs = suggestedChange(reason, inputs, null)?.apply(inputs) ?? inputs;
          const after = effectiveTier(inputs, now);
          steps.push(`${before.tier}: ${before.reasons.join()} → ${after.tier}`);
          assert.ok(rank(after.tier) > rank(before.tier), steps.join('; '));
        }
        assert.ok(steps.length <= trustTiers.length - 1);
      }),
      { numRuns: 500 },
    );
  });

  const steady: ExplanationInputs = {
    tier: {
      grant: { state: 'approved', tier: 'monitored' },
      pinned_not_after: '2027-06-01T10:30:00.000Z',
      pinned_revoked: false,
      attestation: 'not_required',
      identity_verified: true,
    },
    revocation: null,
    approved_at: '2026-11-24T09:12:00.000Z',
    approvers: ['ann', 'bob'],
    reason: null,
    last_seen_at: '2026-12-01T11:59:50.000Z',
    evidence: null,
    review: null,
  };
  const answersOf = (inputs: ExplanationInputs) =>
    explain(inputs).answers.map(({ question, standing, text }) => `${question}, ${standing}: ${text}`);

  it('says who revoked the certificate, when and why, as far as that is known (RV-02)', () => {
    const said = (revocation: ExplanationInputs['revocation']) =>
      explain({ ...steady, tier: { ...steady.tier, pinned_revoked: true }, revocation }).facts.find(
        ({ reason }) => reason === 'certificate.revoked',
      );
    assert.equal(said(null)?.text, 'Its certificate was revoked, and is refused for ever.');
    const at = '2026-12-01T11:00:00.000Z';
    assert.equal(
      said({ at, by: 'sam', reason: 'left on a train' })?.text,
      'Its certificate was revoked on 2026-12-01 11:00 UTC by sam (“left on a train”), and is refused for ever.',
    );
    assert.equal(said({ at, by: 'sam', reason: null })?.at, at);
  });

  it('answers the four questions of a device that is well', () => {
    assert.deepEqual(answersOf(steady), [
      'expected, good: ann and bob approved it on 2026-11-24 09:12 UTC.',
      'trusted, good: It is monitored. No evidence of its state is asked for, so it is monitored at most.',
      'certificate, good: Its pinned certificate is valid until 2027-06-01 10:30 UTC.',
      'waiting, none: Nobody: there is nothing to decide.',
    ]);
    assert.deepEqual(explain(steady).facts.find(({ reason }) => reason === 'identity.approved')?.by, ['ann', 'bob']);
  });

  it('says how many people a review waits for, with which permission and until when', () => {
    const review = {
      id: '11111111-1111-4111-8111-111111111111',
      kind: 'enrollment',
      required: 3,
      voters: ['ann'],
      permission: 'identity.review',
      expires_at: '2026-12-08T12:00:00.000Z',
    } as const;
    const pending = { ...steady, tier: { ...steady.tier, grant: null, pinned_not_after: null }, review };
    assert.deepEqual(answersOf(pending), [
      'expected, watch: Nobody has approved this device yet.',
      'trusted, watch: It is observed. Nobody has approved this device yet.',
      'certificate, none: No certificate is pinned; the one that is approved will be, and no other is accepted then.',
      'waiting, watch: Its enrollment waits for 2 more people with the permission identity.review (approver, security or admin), until 2026-12-08 12:00 UTC.',
    ]);
    const { waits_for } = explain(pending);
    assert.deepEqual([waits_for?.missing, waits_for?.roles], [2, ['approver', 'security', 'admin']]);
  });

  it('tells a device that is silent from one whose certificate has ended', () => {
    const silent = explain({ ...steady, last_seen_at: '2026-12-01T11:58:00.000Z' });
    assert.equal(silent.trust_tier, 'monitored');
    assert.equal(
      silent.liveness.text,
      'No heartbeat was accepted for longer than 60 s: its agent has stopped, cannot reach this server, or is refused. That does not change its tier.',
    );
    const [, , certificate, waiting] = answersOf({ ...steady, tier: { ...steady.tier, pinned_not_after: now } });
    assert.equal(certificate, 'certificate, bad: Its certificate expired on 2026-12-01 12:00 UTC.');
    assert.equal(waiting, 'waiting, watch: The device: it has to present a new certificate.');
  });

  const key = 'ab'.repeat(32);
  const bound = { provider: 'tpm_quote_v1', key_id: key, binding_id: 'tpm-1' } as const;
  const verified: DeviceAttestation = {
    ...{ state: 'verified', generation: 3, verdict: 9, provider: 'tpm_quote_v1', key_id: key, binding_id: 'tpm-1' },
    ...{ manufacturer: 'IFX', verified_at: '2026-12-01T11:59:50.000Z', fresh_until: '2026-12-01T12:04:50.000Z' },
    ...{ code: null, reason: null, detail: null, clock: null },
  };
  const refused = (reason: string, detail: string | null = null): DeviceAttestation => ({
    ...verified,
    ...{ state: 'failed', code: 'attestation.failed', reason, detail },
  });
  const asked = (reason: string): DeviceAttestation => ({ ...verified, state: 'challenged', reason });
  const evidenceCases: readonly (readonly [
    what: string,
    attestation: TierInputs['attestation'],
    standing: DeviceAttestation,
    grant: Parameters<typeof explainedEvidence>[1],
    text: string,
    change: string,
    waiting: string,
  ])[] = [
    [
      'registers that are not approved',
      'failed',
      refused('pcr_mismatch', 'PCR 7 of the sha256 bank is not an approved value'),
      { binding: bound, attested_generation: 3 },
      'It runs something else than what is approved (“PCR 7 of the sha256 bank is not an approved value”).',
      'The device starts what is approved, or its values are approved (SENTINEL_ATTESTATION_PCR_BASELINES_JSON).',
      'The device: it has to give evidence that fits.',
    ],
    [
      'other hardware',
      'failed',
      refused('other_hardware'),
      { binding: bound, attested_generation: 3 },
      'Its evidence is of other hardware than people have approved.',
      'The device answers from the hardware that it is bound to, or somebody resets it and people approve it anew.',
      'The device: it has to give evidence that fits.',
    ],
    [
      'no evidence in the last heartbeat',
      'challenged',
      asked('evidence_missing'),
      { binding: bound, attested_generation: 3 },
      'Its last heartbeat brought no evidence; the last was verified on 2026-12-01 11:59 UTC.',
      'The device answers its challenge with evidence that fits.',
      'The device: it has to answer its challenge.',
    ],
    [
      'a key that nobody has approved',
      'challenged',
      verified,
      { binding: null, attested_generation: null },
      'Its evidence fits; nobody has approved its key and hardware yet.',
      'People approve its key and hardware, and its actor verifies the evidence again.',
      'Its evidence fits; nobody has approved its key and hardware yet.',
    ],
    [
      'evidence that its actor has not confirmed',
      'challenged',
      verified,
      { binding: bound, attested_generation: 2 },
      'Its evidence fits, and waits for its actor to verify it again.',
      'Its actor verifies the evidence again.',
      'Its evidence fits, and waits for its actor to verify it again.',
    ],
    [
      'evidence that is too old',
      'stale',
      { ...verified, fresh_until: '2026-12-01T11:59:59.000Z' },
      { binding: bound, attested_generation: 3 },
      'Its last evidence is too old: it was verified on 2026-12-01 11:59 UTC, and counted until 2026-12-01 11:59 UTC.',
      'The device answers its challenge.',
      'The device: it has to answer its challenge.',
    ],
  ];
  for (const [what, attestation, standing, grant, text, change, waiting] of evidenceCases)
    it(`says what is the matter with ${what}, what would change it, and who has to`, () => {
      const tier = { ...steady.tier, attestation };
      const { facts, answers } = explain({ ...steady, tier, evidence: explainedEvidence(standing, grant, now) });
      const fact = facts.find(({ about }) => about === 'attestation');
      assert.deepEqual([fact?.text, fact?.change, answers.at(-1)?.text], [text, change, waiting]);
    });

  it('names the settings that led there', () => {
    const { settings } = explain({ ...steady, tier: { ...steady.tier, identity_verified: false } });
    assert.ok(settings.includes('SENTINEL_REQUIRE_DEVICE_MTLS'));
    assert.ok(settings.includes('SENTINEL_DEVICE_STALE_SECONDS'));
  });
});

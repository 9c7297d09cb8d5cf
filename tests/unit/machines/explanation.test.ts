// The explanation of a tier: whatever the facts, it says what the decision says, and why.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { attestationStates, deviceStates, trustTiers } from '#contracts/states.ts';
import { effectiveTier, tierReasons, type TierInputs } from '#machines/effective-tier.ts';
import { explainTier } from '#machines/explanation.ts';

const now = '2026-12-01T12:00:00.000Z';
const anyInputs: fc.Arbitrary<TierInputs> = fc.record({
  grant: fc.option(fc.record({ state: fc.constantFrom(...deviceStates), tier: fc.constantFrom(...trustTiers) })),
  pinned_not_after: fc.constantFrom(null, now, '2027-01-01T00:00:00.000Z'),
  pinned_revoked: fc.boolean(),
  attestation: fc.constantFrom(...attestationStates),
  identity_verified: fc.boolean(),
});
const rank = (tier: (typeof trustTiers)[number]): number => trustTiers.indexOf(tier);

describe('explanation of a tier', () => {
  it('has the tier and the reasons of the decision, whatever the facts', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        const decision = effectiveTier(inputs, now);
        const { trust_tier, facts } = explainTier(inputs, now);
        assert.equal(trust_tier, decision.tier);
        const deciding = facts.filter(({ decides }) => decides).map(({ reason }) => reason);
        assert.deepEqual(deciding.toSorted(), decision.reasons.toSorted());
      }),
    );
  });

  it('names each fact once, those that decide first, and none that leaves less trust than there is', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        const { trust_tier, facts } = explainTier(inputs, now);
        assert.equal(new Set(facts.map(({ reason }) => reason)).size, facts.length);
        for (const [index, fact] of facts.entries()) {
          assert.ok(rank(fact.at_most) >= rank(trust_tier));
          assert.ok(index === 0 || rank(facts[index - 1]?.at_most ?? 'trusted') <= rank(fact.at_most));
        }
      }),
    );
  });

  it('says what would change everything that holds a device below trusted', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        const { trust_tier, facts } = explainTier(inputs, now);
        if (trust_tier === 'trusted') return;
        const helpful = facts.filter(({ decides, change }) => decides && change !== null);
        const granted = facts.every(({ decides, reason }) => !decides || reason === 'identity.approved');
        assert.ok(helpful.length > 0 || granted);
      }),
    );
  });

  it('speaks of what is so in the words of the table', () => {
    const { facts } = explainTier(
      {
        grant: { state: 'approved', tier: 'monitored' },
        pinned_not_after: now,
        pinned_revoked: false,
        attestation: 'not_required',
        identity_verified: true,
      },
      now,
    );
    assert.deepEqual(facts[0], {
      reason: 'certificate.expired',
      ...tierReasons['certificate.expired'],
      at_most: 'restricted',
      decides: true,
    });
    assert.deepEqual(
      facts.map(({ reason, decides }) => [reason, decides]),
      [
        ['certificate.expired', true],
        ['identity.approved', false],
        ['attestation.not_required', false],
      ],
    );
  });
});

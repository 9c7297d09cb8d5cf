// The effective tier: a table of every reason, and what holds for all combinations of them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { attestationStates, deviceStates, trustTiers, type TrustTier } from '#contracts/states.ts';
import { effectiveTier, tierReasons, type TierInputs, type TierReason } from '#machines/effective-tier.ts';

const now = '2026-12-01T12:00:00.000Z';
const justEnded = '2026-12-01T12:00:00.000Z';
const stillValid = '2026-12-01T12:00:00.001Z';

const best: TierInputs = {
  grant: { state: 'approved', tier: 'trusted' },
  pinned_not_after: stillValid,
  pinned_revoked: false,
  attestation: 'verified',
  identity_verified: true,
};

const table: readonly [title: string, Partial<TierInputs>, TrustTier, readonly TierReason[]][] = [
  ['approved with fresh evidence', {}, 'trusted', ['identity.approved', 'attestation.verified']],
  ['approved, no evidence asked for', { attestation: 'not_required' }, 'monitored', ['attestation.not_required']],
  [
    'approved, granted no more than monitored',
    { grant: { state: 'approved', tier: 'monitored' } },
    'monitored',
    ['identity.approved'],
  ],
  [
    'approved, more people needed',
    { grant: { state: 'approved', tier: 'observed' } },
    'observed',
    ['identity.under_review'],
  ],
  ['evidence asked for and not given', { attestation: 'challenged' }, 'observed', ['attestation.missing']],
  ['evidence gone stale', { attestation: 'stale' }, 'observed', ['attestation.stale']],
  ['evidence that does not fit', { attestation: 'failed' }, 'restricted', ['attestation.failed']],
  ['never seen by people', { grant: null }, 'observed', ['identity.pending']],
  ['pending', { grant: { state: 'pending', tier: 'observed' } }, 'observed', ['identity.pending']],
  ['lapsed', { grant: { state: 'expired', tier: 'observed' } }, 'observed', ['identity.expired']],
  ['rejected', { grant: { state: 'rejected', tier: 'restricted' } }, 'restricted', ['identity.rejected']],
  ['retired', { grant: { state: 'retired', tier: 'restricted' } }, 'restricted', ['identity.retired']],
  [
    'a rejected device with a high tier left in its grant',
    { grant: { state: 'rejected', tier: 'trusted' } },
    'restricted',
    ['identity.rejected'],
  ],
  ['identity not verified', { identity_verified: false }, 'observed', ['identity.unverified']],
  [
    'certificate in its last millisecond',
    { pinned_not_after: stillValid },
    'trusted',
    ['identity.approved', 'attestation.verified'],
  ],
  ['certificate expired', { pinned_not_after: justEnded }, 'restricted', ['certificate.expired']],
  ['nothing pinned', { pinned_not_after: null }, 'trusted', ['identity.approved', 'attestation.verified']],
  ['certificate revoked', { pinned_revoked: true }, 'revoked', ['certificate.revoked']],
  [
    'revoked, expired, rejected and failed at once',
    {
      pinned_revoked: true,
      pinned_not_after: justEnded,
      attestation: 'failed',
      grant: { state: 'rejected', tier: 'restricted' },
    },
    'revoked',
    ['certificate.revoked'],
  ],
  [
    'expired and failed at once',
    { pinned_not_after: justEnded, attestation: 'failed' },
    'restricted',
    ['attestation.failed', 'certificate.expired'],
  ],
];

describe('effective tier (HB-14)', () => {
  for (const [title, given, tier, reasons] of table)
    it(`${title} → ${tier}`, () =>
      assert.deepEqual(effectiveTier({ ...best, ...given }, now), { tier, reasons: [...reasons] }));

  it('knows every reason that is published', () => {
    const seen = new Set(table.flatMap(([, , , reasons]) => reasons));
    assert.deepEqual([...seen].toSorted(), tierReasons.toSorted());
  });

  const anyInputs: fc.Arbitrary<TierInputs> = fc.record({
    grant: fc.option(fc.record({ state: fc.constantFrom(...deviceStates), tier: fc.constantFrom(...trustTiers) })),
    pinned_not_after: fc.constantFrom(null, justEnded, stillValid, '2020-01-01T00:00:00.000Z'),
    pinned_revoked: fc.boolean(),
    attestation: fc.constantFrom(...attestationStates),
    identity_verified: fc.boolean(),
  });
  const rank = (inputs: TierInputs): number => trustTiers.indexOf(effectiveTier(inputs, now).tier);

  it('is revoked whenever the certificate is, and never above what was granted', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        assert.equal(effectiveTier({ ...inputs, pinned_revoked: true }, now).tier, 'revoked');
        if (inputs.grant) assert.ok(rank(inputs) <= trustTiers.indexOf(inputs.grant.tier));
      }),
    );
  });

  it('only falls when one more fact speaks against the device', () => {
    fc.assert(
      fc.property(anyInputs, (inputs) => {
        assert.ok(rank({ ...inputs, pinned_revoked: true }) <= rank(inputs));
        assert.ok(rank({ ...inputs, pinned_not_after: justEnded }) <= rank(inputs));
        assert.ok(rank({ ...inputs, identity_verified: false }) <= rank(inputs));
        if (inputs.attestation !== 'not_required')
          assert.ok(rank({ ...inputs, attestation: 'failed' }) <= rank(inputs));
      }),
    );
  });

  it('always names a reason', () => {
    fc.assert(fc.property(anyInputs, (inputs) => assert.ok(effectiveTier(inputs, now).reasons.length > 0)));
  });
});

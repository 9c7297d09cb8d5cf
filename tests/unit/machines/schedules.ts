// Any schedule of facts, votes and crashes, and what holds after it: for the unit tests, and for as long as one asks.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { certificate } from './devices.ts';
import { World, type Fact } from './world.ts';

const names = ['first', 'second', 'third'] as const;
const people = ['ann', 'ann', 'bob', 'bob', 'cleo', 'stranger'] as const;

const observed = fc.oneof(
  fc.record({ kind: fc.constant('presents' as const), name: fc.constantFrom(...names) }),
  fc.record({ kind: fc.constant('tags' as const), tags: fc.subarray(['edge', 'payments']) }),
  fc.record({ kind: fc.constant('revoke' as const), name: fc.constantFrom(...names) }),
);
const attested = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('key-1', 'key-2').map((key) => ({
      ...{ kind: 'evidence' as const, key, claimed: key, valid: true },
    })),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('evidence' as const),
      key: fc.constantFrom('key-1', 'key-2'),
      claimed: fc.constantFrom('key-1', 'key-2'),
      valid: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'no evidence' as const }) },
);
const decided = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('vote' as const),
      by: fc.constantFrom(...people),
      decision: fc.constantFrom('approve' as const, 'approve' as const, 'approve' as const, 'reject' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('reset' as const, 'retire' as const), by: fc.constant('olga') }),
  },
);
const crashed = fc.record({
  kind: fc.constant('crash' as const),
  whose: fc.constantFrom('device' as const, 'approval' as const),
  back: fc.nat(3),
});
const life: fc.Arbitrary<Fact[]> = fc
  .array(
    fc.oneof({ weight: 4, arbitrary: observed }, { weight: 6, arbitrary: decided }, { weight: 1, arbitrary: crashed }),
    { maxLength: 40 },
  )
  .map((facts): Fact[] => [{ kind: 'presents', name: 'first' }, ...facts]);

function lived(facts: readonly Fact[], seed: number): World {
  const world = new World(seed);
  world.live(facts);
  return world;
}

/** Lives in which devices are asked for evidence too. */
const attestedLife: fc.Arbitrary<Fact[]> = fc
  .tuple(life, fc.array(fc.tuple(fc.nat(40), attested), { maxLength: 12 }))
  .map(([facts, evidence]) => {
    const all = [...facts];
    for (const [place, fact] of evidence) all.splice(1 + (place % all.length), 0, fact);
    return all;
  });

type How = fc.Parameters<unknown>;

/** Throws with the seed and the schedule that break it. */
export function pinsOnlyWhatWasApproved(how: How): void {
  let pinned = 0;
  fc.assert(
    fc.property(life, fc.integer(), (facts, seed) => {
      const world = lived(facts, seed);
      assert.equal(new Set(world.consumed).size, world.consumed.length, 'an approval was used twice');
      for (const { value, context } of world.device.rows) {
        if (value !== 'approved' || context.tier !== 'monitored') continue;
        pinned += 1;
        const approvals = [...world.approvals.values()].flatMap(({ row }) => row ?? []);
        const grounds = approvals.find(
          ({ value: state, context: approval }) =>
            state === 'approved' &&
            world.consumed.includes(approval.id) &&
            context.approvers.length >= approval.required &&
            context.approvers.every((by: string) =>
              approval.votes.some((vote) => vote.by === by && vote.decision === 'approve'),
            ),
        );
        assert.ok(grounds, 'trusted without an approval that says so');
        assert.ok(!context.approvers.includes('stranger') && !context.approvers.includes('olga'));
      }
    }),
    how as fc.Parameters<[Fact[], number]>,
  );
  assert.ok(pinned > (how.numRuns ?? 0) / 5, `${pinned} states with a pin were looked at`);
}

/** Whatever is written about evidence: trusted is who has given it, with the key that people bound, and nobody else. */
export function trustsOnlyProvenEvidence(how: How): void {
  let trusted = 0;
  fc.assert(
    fc.property(attestedLife, fc.integer(), (facts, seed) => {
      const world = lived(facts, seed);
      for (const { value, context } of world.device.rows) {
        if (context.tier !== 'trusted') continue;
        trusted += 1;
        assert.equal(value, 'approved');
        const proven = [...world.judged.values()].some(
          ({ key, valid, generation }) =>
            valid && generation === context.attested_generation && key === context.attestation_key,
        );
        assert.ok(proven, 'trusted without evidence of the key that it is bound to');
        const approved = [...world.approvals.values()].some(
          ({ row }) =>
            row?.value === 'approved' &&
            world.consumed.includes(row.context.id) &&
            JSON.stringify(row.context.content).includes(`"key_id":"${context.attestation_key}"`),
        );
        assert.ok(approved, 'bound to a key that nobody approved');
      }
    }),
    how as fc.Parameters<[Fact[], number]>,
  );
  assert.ok(trusted > (how.numRuns ?? 0) / 20, `${trusted} trusted states were looked at`);
}

export function takesInWhatWasReported(how: How): void {
  fc.assert(
    fc.property(life, fc.integer(), (facts, seed) => {
      const { value, context } = lived(facts, seed).device.row ?? assert.fail('no row');
      const denied = facts.flatMap((fact) =>
        fact.kind === 'revoke' ? [certificate(fact.name).fingerprint_sha256] : [],
      );
      const under = context.review?.certificate.fingerprint_sha256 ?? '';
      assert.ok(!denied.includes(under) || value === 'rejected' || under === context.pinned?.fingerprint_sha256);
      if (value === 'approved' && denied.includes(context.pinned?.fingerprint_sha256 ?? ''))
        assert.ok(context.revoked_fingerprints.includes(context.pinned?.fingerprint_sha256 ?? ''));
    }),
    how as fc.Parameters<[Fact[], number]>,
  );
}

export function comesToTheSameEnd(how: How): void {
  // Of one certificate: which of two is heard first is a fact of its own.
  const reported = observed.map((fact) => (fact.kind === 'presents' ? { ...fact, name: 'first' as const } : fact));
  const before: fc.Arbitrary<Fact[]> = fc.array(reported, { maxLength: 12 });
  fc.assert(
    fc.property(before, fc.integer(), fc.integer(), (facts, one, other) => {
      assert.deepEqual(lived(facts, one).outcome(), lived(facts, other).outcome());
    }),
    how as fc.Parameters<[Fact[], number, number]>,
  );
}

// Attestation as SQL lists and counts it, held against the rules said without SQL, in every combination.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { AttestationProvider } from '#contracts/attestation.ts';
import { trustTiers, type TrustTier } from '#contracts/states.ts';
import { attestationStateOf } from '#machines/attestation-standing.ts';
import { effectiveTier } from '#machines/effective-tier.ts';
import { countDevices } from '#store/device-count.ts';
import { attestationSql, type DeviceView } from '#store/device-filter.ts';
import { listDevices, type DeviceRow } from '#store/device.ts';
import { withProject } from '#store/with-project.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, noon, view } from './builders.ts';
import { storeTest, type StoreTest } from './database.ts';

interface Row {
  readonly provider: AttestationProvider;
  readonly state: 'challenged' | 'verified' | 'failed';
  readonly code: string | null;
  readonly key_id: string;
  readonly binding_id: string | null;
  readonly fresh_until: string;
}

interface Grant {
  readonly state: 'approved' | 'pending' | 'rejected';
  readonly tier: TrustTier;
  readonly provider: AttestationProvider | null;
  readonly key: string | null;
  readonly hardware: string | null;
  readonly generation: number | null;
}

const asked: AttestationProvider = 'tpm_quote_v1';
const other: AttestationProvider = 'signed_measurement_v1';
const generation = 2;

const rows: readonly (Row | null)[] = [
  null,
  ...[asked, other].flatMap((provider): Row[] => {
    const row: Row = { provider, state: 'challenged', code: null, key_id: 'k', binding_id: 'h', fresh_until: after(1) };
    return [
      row,
      { ...row, code: 'attestation.stale' },
      { ...row, code: 'attestation.nonce_unknown' },
      { ...row, state: 'failed', code: 'attestation.failed' },
      { ...row, state: 'failed', code: 'attestation.stale' },
      ...[after(-1), noon, after(1)].flatMap((fresh_until) =>
        ['h', null].map((binding_id): Row => ({ ...row, state: 'verified', fresh_until, binding_id })),
      ),
    ];
  }),
];

const grants: readonly (Grant | null)[] = [
  null,
  ...(['trusted', 'monitored'] as const).flatMap((tier) =>
    (
      [
        [null, null, null],
        [asked, 'k', null],
        [asked, 'k', 'h'],
        [asked, 'k', 'h2'],
        [asked, 'k2', 'h'],
        [other, 'k', null],
      ] as const
    ).flatMap(([provider, key, hardware]) =>
      [null, 1, generation].map((confirmed): Grant => ({
        state: 'approved',
        tier,
        provider,
        key,
        hardware,
        generation: confirmed,
      })),
    ),
  ),
  { state: 'pending', tier: 'observed', provider: asked, key: 'k', hardware: 'h', generation },
  { state: 'rejected', tier: 'restricted', provider: asked, key: 'k', hardware: 'h', generation },
];

const made = rows.flatMap((row, r) =>
  grants.map((grant, g) => ({ id: `d${String(r).padStart(2, '0')}-${String(g).padStart(2, '0')}`, row, grant })),
);
type Made = (typeof made)[number];

const policies = [null, asked, other].flatMap((provider) =>
  [false, true].flatMap((required) =>
    [noon, after(-2), after(2)].map((now): DeviceView => ({
      ...view,
      now,
      attestation_provider: provider,
      attestation_required: required,
    })),
  ),
);

function stateOf({ row, grant }: Made, policy: DeviceView) {
  return attestationStateOf(
    { provider: policy.attestation_provider, required: policy.attestation_required },
    row && {
      ...row,
      generation,
      verdict: 1,
      manufacturer: null,
      verified_at: noon,
      reason: null,
      detail: null,
      clock: null,
    },
    grant && {
      binding:
        grant.provider === null || grant.key === null
          ? null
          : { provider: grant.provider, key_id: grant.key, binding_id: grant.hardware },
      attested_generation: grant.generation,
    },
    policy.now,
  );
}

const tierOf = (device: Made, policy: DeviceView): TrustTier =>
  effectiveTier(
    {
      grant: device.grant,
      pinned_not_after: null,
      pinned_revoked: false,
      attestation: stateOf(device, policy),
      identity_verified: policy.identity_verified,
    },
    policy.now,
  ).tier;

describe('attestation in SQL', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await database.rows(
      `INSERT INTO device_liveness (project_id, device_id, first_seen_at, last_seen_at)
       SELECT 'default', id, $1, $1 FROM unnest($2::text[]) id`,
      [noon, made.map(({ id }) => id)],
    );
    await database.rows(
      `INSERT INTO device_first_contact (project_id, device_id, seen_at) SELECT 'default', id, $1 FROM unnest($2::text[]) id`,
      [noon, made.filter(({ grant }) => grant === null).map(({ id }) => id)],
    );
    await database.rows(
      `INSERT INTO device (project_id, device_id, state, tier, epoch, counter_epoch, review_generation,
         rejected_fingerprints, assigned_tags, approvers, inbox_consumed, created_at, updated_at, revision,
         attestation_provider, attestation_key, hardware_binding, attested_generation)
       SELECT 'default', g.id, g.state, g.tier, 1, 1, 0, '{}', '{}', '{}', 0, $2, $2, 1, g.provider, g.key, g.hardware,
         g.generation
       FROM jsonb_to_recordset($1) AS g (id text, state text, tier text, provider text, key text, hardware text,
         generation integer)`,
      [JSON.stringify(made.flatMap(({ id, grant }) => (grant === null ? [] : [{ id, ...grant }]))), noon],
    );
    await database.rows(
      `INSERT INTO device_attestation (project_id, device_id, state, generation, verdict, provider, key_id, binding_id,
         verified_at, fresh_until, code, updated_at)
       SELECT 'default', r.id, r.state, $3, 1, r.provider, r.key_id, r.binding_id, $2::timestamptz, r.fresh_until, r.code, $2
       FROM jsonb_to_recordset($1) AS r (id text, state text, provider text, key_id text, binding_id text,
         fresh_until timestamptz, code text)`,
      [JSON.stringify(made.flatMap(({ id, row }) => (row === null ? [] : [{ id, ...row }]))), noon, generation],
    );
  });

  it('is in each state what the rules say, for every policy, row, grant and time', async () => {
    const reached = new Set<string>();
    for (const policy of policies) {
      const values: unknown[] = ['default'];
      const sql = attestationSql(policy, (value) => `$${values.push(value)}`);
      const found = await withProject(database.api, 'default', (tx) =>
        tx.query<{ device_id: string; state: string }>(
          `SELECT k.device_id, ${sql} AS state FROM device_liveness k
           LEFT JOIN device d ON d.project_id = $1 AND d.device_id = k.device_id
           WHERE k.project_id = $1 ORDER BY k.device_id`,
          values,
        ),
      );
      const expected = made.map((device) => ({ device_id: device.id, state: stateOf(device, policy) }));
      assert.deepEqual(found, expected, JSON.stringify(policy));
      for (const { state } of found) reached.add(state);
    }
    assert.equal(reached.size, 5);
  });

  it('filters and counts tiers as each device is shown', async () => {
    for (const policy of policies) {
      const name = JSON.stringify(policy);
      for (const trust_tier of trustTiers) {
        const found: string[] = [];
        for (let last: string | null = null; ; last = found.at(-1) ?? null) {
          const page: readonly DeviceRow[] = await listDevices(
            database.api,
            'default',
            { trust_tier },
            { limit: 500, after: last === null ? null : { device_id: last, at: null } },
            policy,
          );
          found.push(...page.map(({ device_id }) => device_id));
          if (page.length < 500) break;
        }
        const expected = made.filter((device) => tierOf(device, policy) === trust_tier).map(({ id }) => id);
        assert.deepEqual(found, expected, `${trust_tier} ${name}`);
      }
      const counted = new Map<string, number>();
      for (const { trust_tier, devices } of await countDevices(database.api, 'default', {}, policy, 60_000))
        counted.set(trust_tier, (counted.get(trust_tier) ?? 0) + devices);
      const expected = Map.groupBy(made, (device) => tierOf(device, policy));
      assert.deepEqual(counted.size, expected.size, name);
      for (const [tier, devices] of expected) assert.equal(counted.get(tier), devices.length, `${tier} ${name}`);
    }
  });
});

// Lists of devices, held against the same rules said without SQL: every filter, alone and combined, and pages of any length.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import type { DeviceGrant } from '#contracts/actor.ts';
import {
  deviceApprovalStates,
  deviceStates,
  livenessStates,
  rotationAdvice,
  trustTiers,
  type DeviceState,
} from '#contracts/states.ts';
import { effectiveTier } from '#machines/effective-tier.ts';
import { countDevices, type DeviceGroup } from '#store/device-count.ts';
import { listDevices, type DeviceRow } from '#store/device.ts';
import type { DevicePosition } from '#store/device-page.ts';
import type { DeviceFilter } from '#store/device-filter.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import {
  after,
  approval,
  approvalCommit,
  approved,
  commit,
  decide,
  digest,
  facts,
  grant,
  heartbeat,
  noon,
  report,
  review,
  revoke,
  view,
} from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('a list of devices', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  /** What each device is, as the test made it. */
  const made: Made[] = [];
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
    made.push(...(await makeFleet(database)));
  });
  const list = (filter: DeviceFilter, limit: number, last: string | null = null, more = {}) =>
    listDevices(
      database.api,
      'default',
      filter,
      { limit, after: last === null ? null : { device_id: last, at: null } },
      { ...view, ...more },
    );

  it('has exactly the devices that all of its filters ask for, whichever they are (HB-14)', async () => {
    const filters: fc.Arbitrary<DeviceFilter> = fc.record(
      {
        approval_state: fc.constantFrom(...deviceApprovalStates),
        trust_tier: fc.constantFrom(...trustTiers),
        liveness: fc.constantFrom('online', 'stale', 'offline'),
        tag: fc.constantFrom('blue', 'red', 'none'),
        search: fc.constantFrom('d-1', 'HOST-7', '%', '_', 'd-'),
        pending_review: fc.boolean(),
        rotation: fc.constantFrom(...rotationAdvice),
        retired: fc.boolean(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(filters, fc.boolean(), async (filter, identity_verified) => {
        const found = await list(filter, 500, null, { identity_verified });
        const expected = made.filter((device) => fits(device, filter, identity_verified));
        assert.deepEqual(
          found.map(({ device_id }) => device_id),
          expected.map(({ device_id }) => device_id),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('can begin with the newest, and with the certificates that end soonest, in pages of any length', async () => {
    const firstSeen = ({ silent }: Made) => (silent === null ? null : after(-silent));
    const orders = {
      first_seen: { at: firstSeen, sign: -1 },
      certificate_end: { at: endOf, sign: 1 },
    } as const;
    const filters: readonly DeviceFilter[] = [
      {},
      { liveness: 'online' },
      { approval_state: 'rejected' },
      { trust_tier: 'revoked' },
    ];
    for (const [order, { at, sign }] of Object.entries(orders)) {
      for (const filter of filters) {
        const fitting = made.filter((device) => fits(device, filter, true));
        const [dated, rest] = [
          fitting.filter((device) => at(device) !== null),
          fitting.filter((device) => at(device) === null),
        ];
        const key = (device: Made) => `${at(device)} ${device.device_id}`;
        const expected = [...dated.toSorted((a, b) => (key(a) < key(b) ? -sign : sign)), ...rest].map(
          (device) => device.device_id,
        );
        for (const limit of [1, 7, 500]) {
          const paged: string[] = [];
          for (let last: DevicePosition | null = null; ;) {
            const page: readonly DeviceRow[] = await listDevices(
              database.api,
              'default',
              filter,
              { limit, after: last, order: order as keyof typeof orders },
              view,
            );
            const end: DeviceRow | undefined = page.at(-1);
            if (end === undefined) break;
            paged.push(...page.map(({ device_id }) => device_id));
            const time: string | null | undefined =
              order === 'first_seen' ? end.liveness?.first_seen_at : end.grant?.pinned_certificate?.not_after;
            last = { device_id: end.device_id, at: time ?? null };
          }
          assert.deepEqual(paged, expected, `${order} ${JSON.stringify(filter)} by ${limit}`);
        }
      }
    }
  });

  it('counts what the list holds, by everything that it can be filtered by (UI-05)', async () => {
    for (const identity_verified of [true, false]) {
      for (const texts of [{}, { tag: 'red' }, { search: 'HOST-7' }, { tag: 'blue', search: 'd-' }]) {
        const groups = await countDevices(database.api, 'default', texts, { ...view, identity_verified }, 10_000);
        const sum = (some: readonly DeviceGroup[]) => some.reduce((total, { devices }) => total + devices, 0);
        const expected = made.filter((device) => fits(device, texts, identity_verified));
        assert.equal(sum(groups), expected.length);
        for (const [name, values] of Object.entries({
          trust_tier: trustTiers,
          liveness: livenessStates,
          approval_state: deviceApprovalStates,
          rotation: rotationAdvice,
          pending_review: [true, false],
          retired: [true, false],
        })) {
          for (const value of values) {
            const filter = { ...texts, [name]: value } as DeviceFilter;
            assert.equal(
              sum(groups.filter((group) => group[name as keyof DeviceGroup] === value)),
              made.filter((device) => fits(device, filter, identity_verified)).length,
              JSON.stringify(filter),
            );
          }
        }
      }
    }
    assert.deepEqual(await countDevices(database.api, 'nowhere', {}, view, 10_000), []);
  });

  it('says that counting takes too long, when it does, and gives up', async () => {
    const blocker = new pg.Client({ connectionString: database.superuserUrl });
    await blocker.connect();
    await blocker.query('BEGIN; LOCK TABLE device IN ACCESS EXCLUSIVE MODE');
    await assert.rejects(countDevices(database.api, 'default', {}, view, 200), { code: 'device.count_too_slow' });
    await blocker.end();
    assert.ok((await countDevices(database.api, 'default', {}, view, 10_000)).length > 0);
  });

  it('comes in pages that neither lose nor repeat one, whatever their length, also of devices whose liveness was lost', async () => {
    const filters: readonly DeviceFilter[] = [{}, { tag: 'blue' }, { liveness: 'offline' }, { search: 'd-1' }];
    for (const filter of filters) {
      const all = (await list(filter, 500)).map(({ device_id }) => device_id);
      assert.ok(all.length > 10);
      for (const limit of [1, 2, 3, 7, all.length, all.length + 1]) {
        const paged: string[] = [];
        for (let last: string | null = null; ;) {
          const page: readonly { device_id: string }[] = await list(filter, limit, last);
          assert.ok(page.length <= limit);
          if (page.length === 0) break;
          paged.push(...page.map(({ device_id }) => device_id));
          last = page.at(-1)?.device_id ?? null;
        }
        assert.deepEqual(paged, all, `${JSON.stringify(filter)} by ${limit}`);
      }
    }
  });

  it('has devices of its own project only', async () => {
    await decide(database.worker, { project: 'other', id: 'd-000' }, approved('other'));
    const view_ = { limit: 500, after: null };
    assert.deepEqual(
      (await listDevices(database.api, 'other', {}, view_, view)).map(({ project_id, device_id }) => [
        project_id,
        device_id,
      ]),
      [['other', 'd-000']],
    );
    assert.deepEqual(await listDevices(database.api, 'nowhere', {}, view_, view), []);
  });
});

interface Made {
  readonly device_id: string;
  readonly hostname: string | null;
  readonly grant: DeviceGrant | null;
  readonly revoked: boolean;
  /** Seconds since it was heard; null when its liveness was lost. */
  readonly silent: number | null;
  readonly tags: readonly string[];
  readonly reviewed: boolean;
}

/** Devices of every kind, by id: each list is as long as no other, so that they meet in many ways. */
async function makeFleet(database: StoreTest): Promise<readonly Made[]> {
  const states = [null, ...deviceStates];
  const lifetimes = [0, 1, 7 * 86_400 - 1, 7 * 86_400, 29 * 86_400, 30 * 86_400, 90 * 86_400];
  const silences = [0, 59, 60, 599, 600, 86_400, null];
  const made: Made[] = [];
  for (let n = 0; n < 120; n++) {
    const id = `d-${String(n).padStart(3, '0')}`;
    const state = states[n % states.length] ?? null;
    const silent = silences[n % silences.length] ?? null;
    // Without a grant nothing but its liveness tells of it.
    if (state === null && silent === null) continue;
    const reported = n % 4 === 0 ? ['blue'] : n % 5 === 0 ? ['red', 'blue'] : [];
    const assigned = n % 9 === 0 ? ['red'] : [];
    const reviewed = state === 'pending' && n % 3 === 0;
    const row =
      state === null
        ? null
        : grant({
            state,
            tier: trustTiers[n % trustTiers.length] ?? 'observed',
            assigned_tags: assigned,
            approved_at: n % 8 === 0 ? noon : null,
            review: n % 3 === 0 ? review(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`) : null,
            ...(n % 2 === 0
              ? {
                  pinned_fingerprint: digest(`${id}-1`),
                  pinned_certificate: { ...facts(`${id}-1`), not_after: after(lifetimes[n % lifetimes.length] ?? 0) },
                }
              : {}),
          });
    const hostname = `host-${n % 13}`;
    if (silent !== null) {
      const observation = { ...heartbeat('x').observation, hostname, tags: reported };
      await report(database.api, heartbeat(id, { observation }), after(-silent));
    }
    if (row !== null) await decide(database.worker, id, row);
    if (row !== null && reviewed)
      await commit(
        database.worker,
        `run-${n}`,
        approvalCommit(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`, {
          row: approval({ subject_id: id }),
        }),
      );
    const revoked = n % 14 === 0 && row !== null && row.pinned_fingerprint !== null;
    if (revoked) await revoke(database.api, id);
    made.push({
      device_id: id,
      hostname: silent === null ? null : hostname,
      grant: row,
      revoked,
      silent,
      tags: [...(silent === null ? [] : reported), ...(row === null ? [] : assigned)],
      reviewed,
    });
  }
  return made;
}

/** When the pinned certificate ends. */
const endOf = ({ grant: of }: Made): string | null =>
  (of?.pinned_certificate?.['not_after'] as string | undefined) ?? null;

/** What a list should hold, said again without SQL. */
function fits(device: Made, filter: DeviceFilter, identity_verified: boolean): boolean {
  const { device_id, hostname, silent } = device;
  const of = device.grant as (DeviceGrant & { readonly state: DeviceState }) | null;
  const { tier } = effectiveTier(
    {
      grant: of,
      pinned_not_after: endOf(device),
      pinned_revoked: device.revoked,
      attestation: 'not_required',
      identity_verified,
    },
    noon,
  );
  const leftDays = of?.pinned_certificate
    ? (Date.parse(endOf(device) ?? '') - Date.parse(noon)) / 86_400_000
    : Infinity;
  const rotation = leftDays < 7 ? 'required' : leftDays < 30 ? 'recommended' : 'none';
  const liveness = silent === null || silent >= 600 ? 'offline' : silent >= 60 ? 'stale' : 'online';
  const retiredAs = of?.approved_at === null ? 'pending' : 'approved';
  const state = of === null ? 'pending' : of.state === 'retired' ? retiredAs : of.state;
  const part = filter.search?.toLowerCase();
  return (
    (filter.approval_state ?? state) === state &&
    (filter.trust_tier ?? tier) === tier &&
    (filter.liveness ?? liveness) === liveness &&
    (filter.tag === undefined || device.tags.includes(filter.tag)) &&
    (part === undefined || device_id.includes(part) || hostname?.includes(part) === true) &&
    (filter.pending_review ?? device.reviewed) === device.reviewed &&
    (filter.rotation ?? rotation) === rotation &&
    (filter.retired ?? of?.state === 'retired') === (of?.state === 'retired')
  );
}

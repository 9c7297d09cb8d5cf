// Counts of the fleet: what each facet counts, and how often the database is really asked.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import { createDeviceCounts, facetsOf } from '#api/device-counts.ts';
import type { DeviceGroup } from '#store/device-count.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';

const group = (devices: number, more: Partial<DeviceGroup> = {}): DeviceGroup => ({
  trust_tier: 'monitored',
  liveness: 'online',
  approval_state: 'approved',
  rotation: 'none',
  pending_review: false,
  retired: false,
  devices,
  ...more,
});
const groups = [
  group(100),
  group(20, { liveness: 'stale' }),
  group(3, { trust_tier: 'restricted', rotation: 'required', liveness: 'offline' }),
  group(7, { trust_tier: 'observed', approval_state: 'pending', pending_review: true }),
];

describe('facets of the fleet', () => {
  it('count everything without a filter', () => {
    const { matching, trust_tier, liveness, approval_state, rotation, pending_review, retired } = facetsOf(groups, {});
    assert.equal(matching, 130);
    assert.deepEqual(trust_tier, { revoked: 0, restricted: 3, observed: 7, monitored: 120, trusted: 0 });
    assert.deepEqual(liveness, { online: 107, stale: 20, offline: 3 });
    assert.deepEqual(approval_state, { pending: 7, approved: 123, rejected: 0, expired: 0 });
    assert.deepEqual(rotation, { none: 127, recommended: 0, required: 3 });
    assert.deepEqual(pending_review, { true: 7, false: 123 });
    assert.deepEqual(retired, { true: 0, false: 130 });
  });

  it('are narrowed by every filter but their own', () => {
    const { matching, trust_tier, liveness } = facetsOf(groups, { trust_tier: 'monitored', liveness: 'stale' });
    assert.equal(matching, 20);
    assert.deepEqual(trust_tier, { revoked: 0, restricted: 0, observed: 0, monitored: 20, trusted: 0 });
    assert.deepEqual(liveness, { online: 100, stale: 20, offline: 0 });
  });
});

describe('counting the fleet', () => {
  function counting() {
    const clock = fakeClock();
    const asked: string[] = [];
    const ends: ((outcome: readonly DeviceGroup[] | Error) => void)[] = [];
    const count = createDeviceCounts({
      count: (project, texts) => {
        asked.push(`${project} ${texts.tag ?? ''} ${texts.search ?? ''}`.trim());
        return new Promise((resolve, reject) =>
          ends.push((outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome))),
        );
      },
      clock,
    });
    return { clock, asked, ends, count };
  }

  it('reads once for all who ask in that moment, whatever facets they filter by', async () => {
    const { asked, ends, count } = counting();
    const answers = [
      count('default', {}),
      count('default', { trust_tier: 'observed' }),
      count('default', { liveness: 'stale' }),
    ];
    await settled();
    ends[0]?.(groups);
    assert.deepEqual(
      (await Promise.all(answers)).map(({ matching }) => matching),
      [130, 7, 20],
    );
    assert.deepEqual(asked, ['default']);
  });

  it('keeps a reading the longer the longer it took, and reads again afterwards', async () => {
    const { clock, asked, ends, count } = counting();
    const first = count('default', {});
    await settled();
    clock.advance(2_000);
    ends[0]?.(groups);
    const { counted_at } = await first;
    clock.advance(9_999);
    assert.equal((await count('default', {})).counted_at, counted_at);
    clock.advance(1);
    const second = count('default', {});
    await settled();
    assert.equal(asked.length, 2);
    ends[1]?.([]);
    assert.equal((await second).matching, 0);
  });

  it('keeps projects and texts apart, and a failure not at all', async () => {
    const { asked, ends, count } = counting();
    const failing = count('default', { search: 'a' });
    const other = count('other', { search: 'a' });
    await settled();
    ends[0]?.(new Error('too slow'));
    ends[1]?.(groups);
    await assert.rejects(failing, /too slow/);
    assert.equal((await other).matching, 130);
    const again = count('default', { search: 'a' });
    await settled();
    assert.deepEqual(asked, ['default  a', 'other  a', 'default  a']);
    ends[2]?.([]);
    assert.equal((await again).matching, 0);
  });

  it('lets two readings run and some wait, and refuses what comes on top', async () => {
    const { asked, ends, count } = counting();
    const waiting = Array.from({ length: 22 }, (_, index) => count('default', { search: `${index}` }));
    await settled();
    assert.equal(asked.length, 2);
    await assert.rejects(count('default', { search: 'x' }), { code: 'service.overloaded' });
    for (let index = 0; index < 22; index += 1) {
      ends[index]?.(groups);
      await waiting[index];
      await settled();
    }
    assert.equal(asked.length, 22);
  });
});

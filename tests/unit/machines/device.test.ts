// The device machine, cell by cell: what each event comes to in each situation, and that nothing else comes to anything.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { take } from '#bench/simulate/model-actor.ts';
import { deviceActor } from '#machines/device-actor.ts';
import type { DeviceEvent } from '#machines/device-events.ts';
import * as devices from './devices.ts';
import { after, inWords, isIgnored } from './machines.ts';

const { approvedBy, news, openWindow, operator, read } = devices;

/** Events that may reach a device, each made for the snapshot that it meets. */
const events = {
  'news.announced': () => ({ ...devices.stamp(after(5)), type: 'news.announced' }),
  'news: nothing': (d) => news(d, { presents: null }),
  'news: a certificate': (d) => news(d, { presents: 'third' }),
  'news: a certificate, window open': (d) => news(d, { presents: 'third', policy: openWindow }),
  'news: a sensitive device, window open': (d) =>
    news(d, { presents: 'third', tags: ['payments'], policy: openWindow }),
  'news: a revoked certificate': (d) => news(d, { presents: 'third', revoked: ['third'], policy: openWindow }),
  'news: the first certificate': (d) => news(d, { presents: 'first', policy: openWindow }),
  'news: of an older generation': (d) => news(d, { presents: 'third', generation: -1 }),
  'news: the reviewed one gains a sensitive tag': (d) => news(d, { presents: reviewedOf(d), tags: ['payments'] }),
  'news: the reviewed one is revoked': (d) => news(d, { presents: reviewedOf(d), revoked: [reviewedOf(d)] }),
  'news: the pinned one is revoked': (d) => news(d, { revoked: ['first'] }),
  'news: the pinned one gains a sensitive tag': (d) => news(d, { tags: ['payments'] }),
  'closed: the awaited': (d) => ({
    ...devices.stamp(after(50)),
    type: 'approval.closed',
    approval_id: d.context.review?.id ?? 'none',
  }),
  'closed: another': () => ({ ...devices.stamp(after(50)), type: 'approval.closed', approval_id: 'another' }),
  'read: approved': (d) => approvedBy(d, 'ann', 'bob'),
  'read: approved, another digest': (d) => read(d, { state: 'approved', digest: 'other', approvers: ['ann', 'bob'] }),
  'read: approved by too few': (d) => read(d, { state: 'approved', approvers: [] }),
  'read: another approval': (d) => read(d, { state: 'approved', approvers: ['ann', 'bob'] }, { id: 'another' }),
  'read: rejected': (d) => read(d, { state: 'rejected', rejected_by: 'ann' }),
  'read: expired': (d) => read(d, { state: 'expired' }),
  'read: cancelled': (d) => read(d, { state: 'cancelled' }),
  'read: open': (d) => read(d, { state: 'open' }),
  'read: open when the time is up': (d) => read(d, { state: 'open' }, { at: after(7200) }),
  'read: missing': (d) => read(d, null),
  'read: missing when the time is up': (d) => read(d, null, { at: after(7200) }),
  reset: () => operator('device.reset'),
  'reset again by the same request': (d) => operator('device.reset', 'olga', d.context.requests.at(-1) ?? 'new'),
  retire: () => operator('device.retire'),
  'deadline passed': () => devices.deadline(after(3661)),
  adopted: () => devices.adopted(),
  'commit refused': () => devices.refused(),
} satisfies Record<string, (device: devices.Device) => DeviceEvent>;

const reviewedOf = (device: devices.Device): string =>
  ['first', 'second'].find(
    (name) => devices.certificate(name).fingerprint_sha256 === device.context.review?.certificate.fingerprint_sha256,
  ) ?? 'third';

const opens = 'pending: +device.identity.pending approval.open';
const rotates = 'approved: +device.identity.pending approval.open';
const renews = '+device.identity.pending approval.open';
const resets = (also = '') => `pending: +device.identity.reset${also}`;
const retires = (also = '') => `retired: +device.identity.retired${also}`;
const lowered = ' +device.trust.updated';

/** What is not named here comes to nothing: the state stays, nothing is asked for. `≈` takes note of the news, no more. */
const table: Record<string, { device: devices.Device; comes: Partial<Record<keyof typeof events, string>> }> = {
  'never seen': {
    device: devices.unknown,
    comes: {
      'news.announced': 'pending: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': opens,
      'news: a certificate, window open': `approved: +device.identity.approved${lowered}`,
      'news: a sensitive device, window open': opens,
      'news: a revoked certificate': '≈',
      'news: the first certificate': `approved: +device.identity.approved${lowered}`,
      'news: of an older generation': 'pending: news.fetch',
      'news: the reviewed one gains a sensitive tag': opens,
      'news: the reviewed one is revoked': '≈',
      'news: the pinned one is revoked': '≈',
      'news: the pinned one gains a sensitive tag': '≈',
      reset: resets(),
      'reset again by the same request': resets(),
      retire: retires(lowered),
      adopted: 'pending: news.fetch',
    },
  },
  pending: {
    device: devices.pending,
    comes: {
      'news.announced': 'pending: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': '≈',
      'news: a certificate, window open': '≈',
      'news: a sensitive device, window open': '≈',
      'news: a revoked certificate': '≈',
      'news: of an older generation': 'pending: news.fetch',
      'news: the reviewed one gains a sensitive tag': `pending: ${renews}`,
      'news: the reviewed one is revoked': 'expired: +device.identity.expired approval.withdraw',
      'news: the pinned one is revoked': 'expired: +device.identity.expired approval.withdraw',
      'news: the pinned one gains a sensitive tag': '≈',
      'closed: the awaited': 'pending: approval.read',
      'read: approved': `approved: ?approval.consumed +device.identity.approved${lowered}`,
      'read: approved, another digest': `pending: ${renews}`,
      'read: approved by too few': `pending: ${renews}`,
      'read: rejected': `rejected: +device.identity.rejected${lowered}`,
      'read: expired': 'expired: +device.identity.expired',
      'read: cancelled': 'expired: +device.identity.expired',
      'read: open when the time is up': 'expired: +device.identity.expired approval.withdraw',
      'read: missing when the time is up': 'expired: +device.identity.expired approval.withdraw',
      reset: `${resets()} approval.withdraw`,
      'reset again by the same request': `${resets()} approval.withdraw`,
      retire: `${retires(lowered)} approval.withdraw`,
      'deadline passed': 'pending: approval.read',
      adopted: 'pending: approval.open approval.read news.fetch',
      'commit refused': 'expired: +device.identity.expired',
    },
  },
  'pending, two people needed': {
    device: devices.pendingSensitive,
    comes: {
      'news.announced': 'pending: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': '≈',
      'news: a certificate, window open': '≈',
      'news: a sensitive device, window open': '≈',
      'news: a revoked certificate': '≈',
      'news: the first certificate': `pending: ${renews}`,
      'news: of an older generation': 'pending: news.fetch',
      'news: the reviewed one gains a sensitive tag': '≈',
      'news: the reviewed one is revoked': 'expired: +device.identity.expired approval.withdraw',
      'news: the pinned one is revoked': 'expired: +device.identity.expired approval.withdraw',
      'news: the pinned one gains a sensitive tag': '≈',
      'closed: the awaited': 'pending: approval.read',
      'read: approved': `approved: ?approval.consumed +device.identity.approved${lowered}`,
      'read: approved, another digest': `pending: ${renews}`,
      'read: approved by too few': `pending: ${renews}`,
      'read: rejected': `rejected: +device.identity.rejected${lowered}`,
      'read: expired': 'expired: +device.identity.expired',
      'read: cancelled': 'expired: +device.identity.expired',
      'read: open when the time is up': 'expired: +device.identity.expired approval.withdraw',
      'read: missing when the time is up': 'expired: +device.identity.expired approval.withdraw',
      reset: `${resets()} approval.withdraw`,
      'reset again by the same request': `${resets()} approval.withdraw`,
      retire: `${retires(lowered)} approval.withdraw`,
      'deadline passed': 'pending: approval.read',
      adopted: 'pending: approval.open approval.read news.fetch',
      'commit refused': 'expired: +device.identity.expired',
    },
  },
  approved: {
    device: devices.approved,
    comes: {
      'news.announced': 'approved: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': rotates,
      'news: a certificate, window open': rotates,
      'news: a sensitive device, window open': rotates,
      'news: a revoked certificate': `≈`,
      'news: the first certificate': '≈',
      'news: of an older generation': 'approved: news.fetch',
      'news: the reviewed one gains a sensitive tag': rotates,
      'news: the reviewed one is revoked': '≈',
      'news: the pinned one is revoked': 'approved: news.fetch',
      'news: the pinned one gains a sensitive tag': `approved: +device.identity.pending${lowered} approval.open`,
      reset: resets(lowered),
      'reset again by the same request': resets(lowered),
      retire: retires(lowered),
      adopted: 'approved: news.fetch',
    },
  },
  'approved, a new certificate under review': {
    device: devices.rotating,
    comes: {
      'news.announced': 'approved: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': '≈',
      'news: a certificate, window open': '≈',
      'news: a sensitive device, window open': '≈',
      'news: a revoked certificate': '≈',
      'news: the first certificate': '≈',
      'news: of an older generation': 'approved: news.fetch',
      'news: the reviewed one gains a sensitive tag': `approved: ${renews}`,
      'news: the reviewed one is revoked': 'approved: +device.identity.expired approval.withdraw news.fetch',
      'news: the pinned one is revoked': 'approved: news.fetch',
      'news: the pinned one gains a sensitive tag': '≈',
      'closed: the awaited': 'approved: approval.read',
      'read: approved': 'approved: ?approval.consumed +device.identity.approved +device.certificate.rotated news.fetch',
      'read: approved, another digest': `approved: ${renews}`,
      'read: approved by too few': `approved: ${renews}`,
      'read: rejected': 'approved: +device.identity.rejected',
      'read: expired': 'approved: +device.identity.expired',
      'read: cancelled': 'approved: +device.identity.expired',
      'read: open when the time is up': 'approved: +device.identity.expired approval.withdraw',
      'read: missing when the time is up': 'approved: +device.identity.expired approval.withdraw',
      reset: `${resets(lowered)} approval.withdraw`,
      'reset again by the same request': `${resets(lowered)} approval.withdraw`,
      retire: `${retires(lowered)} approval.withdraw`,
      'deadline passed': 'approved: approval.read',
      adopted: 'approved: approval.open approval.read news.fetch',
      'commit refused': 'approved: +device.identity.expired',
    },
  },
  'approved, more people needed': {
    device: devices.reappraised,
    comes: {
      'news.announced': 'approved: news.fetch',
      'news: nothing': `approved: ${renews}`,
      'news: a certificate': `approved: ${renews}`,
      'news: a certificate, window open': `approved: ${renews}`,
      'news: a sensitive device, window open': '≈',
      'news: a revoked certificate': `approved: ${renews}`,
      'news: the first certificate': `approved: ${renews}`,
      'news: of an older generation': 'approved: news.fetch',
      'news: the reviewed one gains a sensitive tag': `approved: ${renews}`,
      'news: the reviewed one is revoked': 'approved: news.fetch',
      'news: the pinned one is revoked': 'approved: news.fetch',
      'news: the pinned one gains a sensitive tag': '≈',
      'closed: the awaited': 'approved: approval.read',
      'read: approved': `approved: ?approval.consumed +device.identity.approved${lowered} news.fetch`,
      'read: approved, another digest': `approved: ${renews}`,
      'read: approved by too few': `approved: ${renews}`,
      'read: rejected': `rejected: +device.identity.rejected${lowered}`,
      'read: expired': 'approved: +device.identity.expired',
      'read: cancelled': 'approved: +device.identity.expired',
      'read: open when the time is up': 'approved: +device.identity.expired approval.withdraw',
      'read: missing when the time is up': 'approved: +device.identity.expired approval.withdraw',
      reset: `${resets()} approval.withdraw`,
      'reset again by the same request': `${resets()} approval.withdraw`,
      retire: `${retires(lowered)} approval.withdraw`,
      'deadline passed': 'approved: approval.read',
      adopted: 'approved: approval.open approval.read news.fetch',
      'commit refused': 'approved: +device.identity.expired',
    },
  },
  rejected: {
    device: devices.rejected,
    comes: {
      'news.announced': 'rejected: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': '≈',
      'news: a certificate, window open': '≈',
      'news: a sensitive device, window open': '≈',
      'news: a revoked certificate': '≈',
      'news: the first certificate': '≈',
      'news: of an older generation': '≈',
      'news: the reviewed one gains a sensitive tag': '≈',
      'news: the reviewed one is revoked': '≈',
      'news: the pinned one is revoked': '≈',
      'news: the pinned one gains a sensitive tag': '≈',
      reset: resets(lowered),
      'reset again by the same request': resets(lowered),
      retire: retires(),
      adopted: 'rejected: news.fetch',
    },
  },
  expired: {
    device: devices.expired,
    comes: {
      'news.announced': 'expired: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': opens,
      'news: a certificate, window open': `approved: +device.identity.approved${lowered}`,
      'news: a sensitive device, window open': opens,
      'news: a revoked certificate': '≈',
      'news: the first certificate': `approved: +device.identity.approved${lowered}`,
      'news: of an older generation': 'expired: news.fetch',
      'news: the reviewed one gains a sensitive tag': opens,
      'news: the reviewed one is revoked': '≈',
      'news: the pinned one is revoked': '≈',
      'news: the pinned one gains a sensitive tag': '≈',
      reset: resets(),
      'reset again by the same request': resets(),
      retire: retires(lowered),
      adopted: 'expired: news.fetch',
    },
  },
  retired: {
    device: devices.retired,
    comes: {
      'news.announced': 'retired: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': '≈',
      'news: a certificate, window open': '≈',
      'news: a sensitive device, window open': '≈',
      'news: a revoked certificate': '≈',
      'news: the first certificate': '≈',
      'news: of an older generation': '≈',
      'news: the reviewed one gains a sensitive tag': '≈',
      'news: the reviewed one is revoked': '≈',
      'news: the pinned one is revoked': '≈',
      'news: the pinned one gains a sensitive tag': '≈',
      reset: resets(lowered),
      retire: retires(),
      adopted: 'retired: news.fetch',
    },
  },
  'reset by an operator': {
    device: devices.reset,
    comes: {
      'news.announced': 'pending: news.fetch',
      'news: nothing': '≈',
      'news: a certificate': opens,
      // Somebody asked for a decision, so the open window does not make it.
      'news: a certificate, window open': opens,
      'news: a sensitive device, window open': opens,
      'news: a revoked certificate': '≈',
      'news: the first certificate': opens,
      'news: of an older generation': 'pending: news.fetch',
      'news: the reviewed one gains a sensitive tag': opens,
      'news: the reviewed one is revoked': '≈',
      'news: the pinned one is revoked': '≈',
      'news: the pinned one gains a sensitive tag': '≈',
      reset: resets(),
      retire: retires(lowered),
      adopted: 'pending: news.fetch',
    },
  },
};

/** News that led to no decision: what was seen counts as seen, and that is all. */
function isNoted(before: devices.Device, taken: ReturnType<typeof take>): boolean {
  const { applied_digest: _a, reported_tags: _b, inbox_consumed: _c, ...was } = before.context;
  const {
    applied_digest: _d,
    reported_tags: _e,
    inbox_consumed: _f,
    ...is
  } = taken.snapshot.context as devices.Device['context'];
  return inWords(taken) === before.value && JSON.stringify(was) === JSON.stringify(is);
}

describe('device machine', () => {
  for (const [situation, { device, comes }] of Object.entries(table)) {
    describe(situation, () => {
      for (const [name, make] of Object.entries(events) as [
        keyof typeof events,
        (d: devices.Device) => DeviceEvent,
      ][]) {
        const expected = comes[name];
        it(`${name} → ${expected ?? 'nothing'}`, () => {
          const taken = take(deviceActor, device, make(device));
          if (expected === undefined) assert.ok(isIgnored(device, taken), inWords(taken));
          else if (expected === '≈') assert.ok(isNoted(device, taken), inWords(taken));
          else assert.equal(inWords(taken), expected);
        });
      }
    });
  }
});

describe('the requests that a device has seen', () => {
  it('are forgotten in the order in which they came, so that there are never more than a hundred (FT-04)', () => {
    let device = devices.pending;
    for (let n = 1; n <= 150; n += 1) device = devices.given(device, operator('device.reset', 'olga', `request ${n}`));
    const { requests, epoch } = device.context;
    assert.deepEqual(
      requests,
      Array.from({ length: 100 }, (_, n) => `request ${n + 51}`),
    );
    // One that is still known comes again.
    const again = devices.given(device, operator('device.reset', 'olga', 'request 51'));
    assert.equal(again.context.epoch, epoch);
  });
});

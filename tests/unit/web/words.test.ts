import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Me } from '#contracts/http/admin.ts';
import { permissionsOf, type Role } from '#contracts/permissions.ts';
import { anAuditEvent } from '#tests/fakes/api-objects.ts';
import { fakeDevice, fakeFleet, putUnderReview } from '#tests/fakes/fake-fleet.ts';
import { facetsOf } from '#api/device-counts.ts';
import type { DeviceCounts } from '#contracts/http/devices.ts';
import { actionTitle } from '#web/words/actions.ts';
import { attentionFor } from '#web/words/attention.ts';
import { stringifySearch } from '#web/search.ts';
import { eventTitle, stateChange } from '#web/words/history.ts';
import { hardwareChange } from '#web/words/hardware.ts';
import { plainName } from '#web/words/names.ts';
import { missingPermission } from '#web/words/permission.ts';
import { reviewBarrier } from '#web/words/review.ts';
import { lengthText, relativeTime } from '#web/words/time.ts';
import { timelineKey, timelineWords } from '#web/words/timeline.ts';

const at = '2026-11-23T09:00:00.000Z';
const nowMs = Date.parse(at);

function person(username: string, ...roles: Role[]): Me {
  return {
    username,
    roles,
    permissions: permissionsOf({ roles }),
    csrf_token: 'x',
    session_id: 'x',
    expires_at: '2026-11-24T09:00:00.000Z',
    project: 'default',
  };
}

describe('relative time', () => {
  for (const [seconds, words] of [
    [0, 'just now'],
    [-1, '1 s ago'],
    [-59.9, '59 s ago'],
    [-60, '1 min ago'],
    [-3599, '59 min ago'],
    [-3600, '1 h ago'],
    [-48 * 3600, '2 d ago'],
    [30, 'in 30 s'],
    [3 * 86_400 - 1, 'in 3 d'],
  ] as const) {
    it(`says ${words}`, () => {
      assert.equal(relativeTime(new Date(nowMs + seconds * 1000).toISOString(), nowMs), words);
    });
  }
});

describe('whether somebody may vote', () => {
  const fleet = fakeFleet(nowMs);
  const approval = putUnderReview(fleet, fakeDevice('d', nowMs), nowMs, {
    kind: 'enrollment',
    required: 2,
    requestedBy: { kind: 'user', id: 'olga' },
    votes: [{ by: 'ann', decision: 'approve', reason: null, at: '2026-11-23T08:00:00.000Z' }],
  });

  it('lets an approver vote', () => assert.equal(reviewBarrier(approval, person('bob', 'approver'), nowMs), null));

  for (const [why, me, now, change, form] of [
    ['a person who asked for it', person('olga', 'approver'), nowMs, {}, /nobody decides what they asked for/],
    ['a person who has voted', person('ann', 'approver'), nowMs, {}, /^You have voted to approve\. One more person/],
    ['a person without the permission', person('vic', 'viewer'), nowMs, {}, /identity\.review/],
    ['anybody after the time', person('bob', 'approver'), nowMs + 4 * 86_400_000, {}, /time for this review is up/],
    ['anybody after the close', person('bob', 'approver'), nowMs, { state: 'rejected' as const }, /closed: rejected/],
    ['anybody while it is decided', person('bob', 'approver'), nowMs, { state: 'deciding' as const }, /being recorded/],
  ] as const) {
    it(`does not let ${why}`, () => assert.match(reviewBarrier({ ...approval, ...change }, me, now) ?? '', form));
  }
});

describe('a missing permission', () => {
  it('names the permission, who has it, and what the person has', () => {
    assert.equal(
      missingPermission(person('vic', 'viewer'), 'device.retire'),
      'This needs the permission device.retire, which the roles operator, security and admin have. Yours: viewer.',
    );
    assert.equal(
      missingPermission(person('nobody'), 'workflow.write'),
      'This needs the permission workflow.write, which the role admin has. Yours: none.',
    );
    assert.equal(missingPermission(person('root', 'admin'), 'workflow.write'), null);
  });
});

describe('what is not as it should be', () => {
  const none = facetsOf([], {});
  const counts = (change: Partial<DeviceCounts>): DeviceCounts => ({ ...none, counted_at: at, ...change });

  it('is nothing when every approved device is as it should be', () => {
    assert.deepEqual(attentionFor(counts({ matching: 7, liveness: { online: 7, stale: 0, offline: 0 } })), []);
  });

  it('is said worst first, each with the filter that shows the devices it counts', () => {
    const found = attentionFor(
      counts({
        trust_tier: { ...none.trust_tier, revoked: 1, monitored: 9 },
        liveness: { online: 5, stale: 2, offline: 3 },
        rotation: { none: 6, recommended: 0, required: 4 },
      }),
    );
    assert.deepEqual(
      found.map(({ title, devices, filter }) => [title, devices, stringifySearch({ ...filter })]),
      [
        ['Certificate revoked', 1, '?approval_state=approved&retired=false&trust_tier=revoked'],
        ['Rotation required', 4, '?approval_state=approved&retired=false&rotation=required&order=certificate_end'],
        ['Offline', 3, '?approval_state=approved&retired=false&liveness=offline'],
        ['Heartbeats overdue', 2, '?approval_state=approved&retired=false&liveness=stale'],
      ],
    );
  });
});

describe('the history of a device', () => {
  it('says what happened and what became of it', () => {
    assert.equal(eventTitle({ event: 'approval.read' }), 'A decision was taken in');
    assert.equal(eventTitle({ event: 'hardware.changed' }), 'Hardware changed');
    assert.equal(stateChange({ from_state: 'pending', to_state: 'approved' }), 'Pending → Approved');
    assert.equal(stateChange({ from_state: null, to_state: 'pending' }), 'Pending');
  });
});

describe('what approving an attestation key means', () => {
  const bound = { provider: 'tpm_quote_v1', key_id: 'ab', binding_id: 'cd' } as const;
  for (const [what, now, change, says] of [
    ['a first key', null, {}, /^The device is bound to nothing yet/],
    ['what it is bound to', bound, {}, /bound to already/],
    ['another key of the same hardware', bound, { key_id: 'ef' }, /^The hardware stays the same/],
    ['other hardware', bound, { key_id: 'ef', binding_id: '01' }, /^This is not the hardware/],
    ['a key of no known hardware', null, { binding_id: null }, /Nothing says which hardware holds this key/],
    [
      'a key whose hardware is no longer known',
      bound,
      { binding_id: null },
      /^This is not what the device is bound to/,
    ],
    ['a key, before it is known what there is now', undefined, {}, /^With this, only evidence of this key/],
  ] as const) {
    it(`says of ${what} what it is`, () => assert.match(hardwareChange(now, { ...bound, ...change }), says));
  }
});

describe('audited actions', () => {
  it('have words where their names say too little', () => {
    assert.equal(actionTitle('hardware_identity_mismatch'), 'Evidence of other hardware or another key');
    assert.equal(actionTitle('device.identity.approved'), 'Device identity approved');
  });
});

describe('names of machines', () => {
  it('are said in words', () => {
    assert.equal(plainName('fingerprint_sha256'), 'Fingerprint (SHA-256)');
    assert.equal(plainName('device.identity.approved'), 'Device identity approved');
    assert.equal(plainName('device_id'), 'Device ID');
  });
});

describe('the timeline in words', () => {
  const entry = { kind: 'heartbeat', at: '2026-11-23T09:00:00.000Z', transition: null, audit: null } as const;

  for (const [seconds, words] of [
    [45, '45 s'],
    [60, '1 min'],
    [3600, '1 h'],
    [12_000, '3 h 20 min'],
    [187_200, '2 d 4 h'],
  ] as const) {
    it(`says how long a silence of ${seconds} seconds was: ${words}`, () => {
      assert.equal(lengthText(seconds * 1000), words);
      const silence = { from: new Date(nowMs - seconds * 1000).toISOString(), until: entry.at };
      assert.equal(timelineWords({ ...entry, silence }).text, `after ${words} of silence`);
    });
  }

  it('says why something was refused, and keeps the key of an entry while others come', () => {
    const audit = anAuditEvent({
      action: 'heartbeat.refused',
      outcome: 'refused',
      details: { code: 'heartbeat.replayed' },
    });
    const refused = { ...entry, kind: 'audit', audit, silence: null } as const;
    assert.deepEqual(timelineWords(refused), {
      title: 'Heartbeat refused',
      text: 'Refused, heartbeat replayed',
      tone: 'watch',
    });
    assert.equal(timelineKey(refused), 'audit 1');
    const often = { ...refused, audit: { ...audit, details: { code: 'certificate.revoked', count: 4 } } };
    assert.equal(timelineWords(often).text, 'Refused, certificate revoked, 4 times');
    assert.equal(timelineWords({ ...entry, silence: null }).title, 'Heard for the first time');
  });
});

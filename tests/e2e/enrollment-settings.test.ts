// Settings that change how devices are let in, each on a whole installation: an open window, a short review, no certificates.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';

describe('an installation that is told to let devices in otherwise', () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  before(
    async () => {
      stack = await startStack(cleanup, {
        SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL: 'false',
        SENTINEL_SENSITIVE_TAGS: 'payments',
      });
    },
    { timeout: 180_000 },
  );

  it('approves and pins an unknown device at its first heartbeat while the window is open, and nothing else (EN-02)', async () => {
    const device = await stack.device('window-1');
    const first = await eventually(async () => {
      const answer = await device.heartbeat(1);
      return answer.status === 200 ? answer : null;
    }, 'the first heartbeat to be accepted');
    assert.equal(first.body['trust_tier'], 'monitored');
    const viewer = await stack.as('vic');
    const shown = await viewer.devices.get('window-1');
    assert.equal(shown.approval_state, 'approved');
    assert.equal(shown.pending_review, null);
    assert.ok(shown.certificate);

    const rotated = await stack.device('window-1', await stack.ca.issueDevice({ deviceId: 'window-1' }));
    assert.equal((await rotated.heartbeat(2)).status, 202, 'another certificate is for people to decide');
    const sensitive = await stack.device('window-2');
    assert.equal((await sensitive.heartbeat(1, { tags: ['payments'] })).status, 202, 'so is a sensitive device');
    assert.equal((await viewer.devices.get('window-2')).approval_state, 'pending');
  });

  it('lets a review that nobody decides lapse, and opens a new one for the next heartbeat (EN-01, EN-05)', async () => {
    await stack.restart({ SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL: 'true', SENTINEL_IDENTITY_REVIEW_TTL_SECONDS: '2' });
    const viewer = await stack.as('vic');
    const device = await stack.device('lapsing-1');
    assert.equal((await device.heartbeat(1)).status, 202);
    const first = await eventually(async () => (await viewer.devices.get('lapsing-1')).pending_review, 'the review');
    const lapsed = await eventually(async () => {
      const shown = await viewer.devices.get('lapsing-1');
      return shown.approval_state === 'expired' ? shown : null;
    }, 'the review to lapse');
    assert.equal(lapsed.trust_tier, 'observed');
    assert.equal((await viewer.approvals.get(first.id)).state, 'expired');
    assert.equal((await device.heartbeat(1)).status, 202);
    const second = await eventually(async () => (await viewer.devices.get('lapsing-1')).pending_review, 'a new review');
    assert.notEqual(second.id, first.id);
    const { items } = await viewer.audit.list({ subject_id: 'lapsing-1', action: 'device.identity.expired' });
    assert.ok(items.length >= 1);
  });

  it('knows nobody for sure where device certificates are not demanded: observed at most, no commands (HB-03)', async () => {
    await stack.restart({ SENTINEL_REQUIRE_DEVICE_MTLS: 'false', SENTINEL_IDENTITY_REVIEW_TTL_SECONDS: '3600' });
    const anybody = await stack.device('unproven-1', null);
    const answer = await anybody.heartbeat(1);
    assert.equal(answer.status, 202);
    assert.equal(answer.body['trust_tier'], 'observed');
    assert.deepEqual(answer.body['commands'], []);
    const shown = await (await stack.as('vic')).devices.get('window-1');
    assert.equal(shown.approval_state, 'approved');
    assert.equal(shown.trust_tier, 'observed');
  });
});

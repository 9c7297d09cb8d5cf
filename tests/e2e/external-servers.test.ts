// `npm start` on a PostgreSQL and a Temporal that somebody else runs: the embedded ones step aside, and everything else is the same.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { linkedCheckout } from '#tests/harness/npm-start.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { testDatabase } from '#tests/harness/postgres.ts';
import { secretSettings } from '#tests/harness/env-file.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';
import { testTemporal } from '#tests/harness/temporal.ts';

describe('an installation on servers of its own, started as the production profile has it (DC-03)', () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let temporalAddress = '';
  before(
    async () => {
      const { ownerUrl } = await testDatabase(cleanup, { migrated: false });
      const { address, taskQueue } = await testTemporal(cleanup);
      temporalAddress = address;
      const [start, ...more] = blocksTypedBy(import.meta.filename);
      assert.ok(start !== undefined && more.length === 0);
      const settings = {
        ...secretSettings(),
        SENTINEL_DATABASE_URL: ownerUrl,
        SENTINEL_TEMPORAL_ADDRESS: address,
        SENTINEL_TEMPORAL_TASK_QUEUE: taskQueue,
        // Names that no other installation on that Temporal has.
        SENTINEL_TEMPORAL_OPAQUE_IDS: 'true',
      };
      stack = await startStack(cleanup, settings, 0, { directory: await linkedCheckout(cleanup), text: start.text });
    },
    { timeout: 180_000 },
  );

  it('starts neither of the embedded ones, and describes those that it uses', () => {
    assert.deepEqual(Object.keys(stack.instance.pids).toSorted(), ['api', 'sealer', 'supervisor', 'worker']);
    assert.notEqual(new URL(stack.instance.database_url).port, '54329');
    assert.equal(stack.instance.temporal_address, temporalAddress);
  });

  it('enrolls a device, and hides its name from Temporal where that is asked for', async () => {
    const ann = await stack.as('ann');
    const device = await stack.device('outside-1');
    assert.equal((await device.heartbeat(1)).status, 202);
    const review = await eventually(async () => (await ann.devices.get('outside-1')).pending_review, 'a review');
    const approved = await ann.devices.identityReview('outside-1', { decision: 'approve', digest: review.digest });
    assert.equal(approved.approval_state, 'approved');
    assert.ok(!approved.workflow.id.includes('outside-1'), approved.workflow.id);
    assert.equal((await device.heartbeat(1)).status, 200);
    const report = await ann.audit.integrity({ full: true });
    assert.equal(report.valid, true, report.reason ?? '');
  });

  it('says that there is no UI of that Temporal to show, unless it is told where one is', async () => {
    const headers = { authorization: `Bearer ${await stack.token('ann')}` };
    const { status, body } = await stack.request('/temporal/', { headers });
    assert.equal(status, 503);
    assert.match(String(body['detail']), /SENTINEL_TEMPORAL_UI_URL/);
  });
});

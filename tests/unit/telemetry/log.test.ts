// Lines of the log: what each carries from where it was written, and what never gets there.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createLog } from '#telemetry/log.ts';
import { activityFields } from '#worker/activity-fields.ts';

function logged() {
  const lines: string[] = [];
  const log = createLog('worker', 'info', {
    context: activityFields,
    destination: { write: (line) => void lines.push(line) },
  });
  return {
    log,
    lines: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    text: () => lines.join(''),
  };
}

describe('the log of the worker', () => {
  it('says on each line which attempt of which activity of which run it is from (CP-21)', async () => {
    const { log, lines } = logged();
    const environment = new MockActivityEnvironment({
      attempt: 3,
      activityType: 'commitActor',
      workflowExecution: { workflowId: 'device/default/a', runId: 'run-1' },
    });
    await environment.run(async () => {
      await Promise.resolve();
      log.warn({ devices: 1 }, 'from the store');
    });
    log.info({}, 'from elsewhere');
    const [inside, outside] = lines();
    assert.equal(inside?.['workflow_id'], 'device/default/a');
    assert.equal(inside['run_id'], 'run-1');
    assert.equal(inside['activity'], 'commitActor');
    assert.equal(inside['attempt'], 3);
    assert.equal(inside['devices'], 1);
    assert.equal(outside?.['workflow_id'], undefined);
  });

  it('is JSON, one object a line, whatever is in the texts, and without secrets (CP-21, SA-20)', () => {
    const { log, lines, text } = logged();
    log.warn(
      { hostname: 'a\r\n{"level":"error"}\u001b[31m', token: 'canary', inner: { password: 'canary' } },
      'said\nso',
    );
    assert.equal(text().split('\n').length, 2, 'one line and its end');
    assert.doesNotMatch(text(), /canary/);
    assert.ok(!text().includes('\u001b'));
    assert.equal(lines()[0]?.['msg'], 'said\nso');
  });
});

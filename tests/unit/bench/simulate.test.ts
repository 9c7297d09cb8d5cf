// The simulation of a fleet: repeatable, honest about single devices, and priced as Temporal prices.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import proto from '@temporalio/proto';
import { chanceOf } from '#bench/simulate/chance.ts';
import { live } from '#bench/simulate/device-life.ts';
import { usualRates, type Rates } from '#bench/simulate/rates.ts';
import { Ledger } from '#bench/simulate/temporal-cost.ts';
import { decodeHistory, type RecordedHistory } from '#tests/histories/recorded.ts';

const { EventType } = proto.temporal.api.enums.v1;
const histories = fileURLToPath(new URL('../../histories', import.meta.url));

const quiet: Rates = {
  ...usualRates,
  changes_a_day: 0,
  silences_a_day: 0,
  certificate_days: Infinity,
  rejections: 0,
  forgotten: 0,
  sensitive: 0,
  revocations_a_year: 0,
};

describe('the simulation of a fleet', () => {
  it('is the same for the same chance, and another for another', () => {
    assert.deepEqual(live(10, usualRates, chanceOf(1)), live(10, usualRates, chanceOf(1)));
    assert.notDeepEqual(live(10, usualRates, chanceOf(1)), live(10, usualRates, chanceOf(2)));
  });

  it('asks nothing of Temporal for a steady device but its signals', () => {
    const { cost: short, state } = live(10, quiet, chanceOf(3));
    const { cost: long, approvals } = live(20, quiet, chanceOf(3));
    assert.equal(state, 'approved');
    assert.equal(approvals, 1);
    const perDay = 86_400 / quiet.signal_seconds;
    assert.ok(Math.abs(long.signals - short.signals - 10 * perDay) <= 1);
    const signals = long.signals - short.signals;
    assert.equal(long.updates, short.updates);
    assert.equal(long.workflows_started, short.workflows_started);
    // A look at what is new, within the task of the signal, which finds nothing and writes nothing.
    assert.equal(long.looks - short.looks, signals);
    assert.equal(long.workflow_tasks - short.workflow_tasks, signals);
    assert.equal(long.activities, short.activities);
  });

  it('does not let a device that is silent or unknown report', () => {
    const silent = live(30, { ...quiet, silences_a_day: 50, silence_hours: 10_000 }, chanceOf(4));
    assert.ok(silent.cost.heartbeats < live(30, quiet, chanceOf(4)).cost.heartbeats / 2);
    assert.ok(silent.cost.signals < 30);
  });

  it('opens a review for each certificate, and takes as many votes as it needs', () => {
    const { cost, approvals } = live(100, { ...quiet, certificate_days: 10, sensitive: 1 }, chanceOf(5));
    assert.ok(approvals >= 5 && approvals <= 20, `${approvals} reviews`);
    // Two votes, and one word to the device.
    assert.ok(cost.updates >= 3 * (approvals - 1) && cost.updates <= 3 * approvals, `${cost.updates} updates`);
  });

  it('counts no fewer tasks than recorded histories of the same actors have', () => {
    let recorded = 0;
    let counted = 0;
    for (const file of readdirSync(histories).filter((name) => name.endsWith('.json.gz'))) {
      const { history } = JSON.parse(gunzipSync(readFileSync(join(histories, file))).toString()) as RecordedHistory;
      const types = decodeHistory(history).events.map(({ eventType }) => eventType ?? 0);
      const number = (name: keyof typeof EventType): number => types.filter((type) => type === EventType[name]).length;
      const ledger = new Ledger();
      const times = (count: number, what: () => void): void => {
        for (let n = 0; n < count; n += 1) what();
      };
      ledger.started();
      times(number('EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED'), () => ledger.signalled());
      times(number('EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED'), () => ledger.updated());
      times(number('EVENT_TYPE_ACTIVITY_TASK_COMPLETED'), () => ledger.activity());
      times(number('EVENT_TYPE_TIMER_STARTED'), () => ledger.timerChanged(false, true));
      times(number('EVENT_TYPE_TIMER_CANCELED'), () => ledger.timerChanged(true, false));
      times(number('EVENT_TYPE_TIMER_FIRED'), () => ledger.timerFired());
      times(number('EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES'), () => ledger.shown());
      const tasks = number('EVENT_TYPE_WORKFLOW_TASK_COMPLETED');
      assert.ok(ledger.cost.workflow_tasks >= tasks, `${file}: ${ledger.cost.workflow_tasks} tasks for ${tasks}`);
      recorded += tasks;
      counted += ledger.cost.workflow_tasks;
    }
    assert.ok(recorded > 100);
    assert.ok(counted <= recorded * 1.5, `${counted} tasks counted for ${recorded}`);
  });
});

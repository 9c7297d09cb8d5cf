// When the next heartbeat is due.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { initialSchedule, scheduleAfter, type HeartbeatOutcome } from '#agent/heartbeat-schedule.ts';
import { countingRandom } from '#tests/fakes/counting-random.ts';

const limits = { firstIntervalSeconds: 15, pendingSeconds: 5, longestSeconds: 60 };
const start = initialSchedule(limits);
const accepted = (nextSeconds: number): HeartbeatOutcome => ({ kind: 'answered', status: 'accepted', nextSeconds });
const pending = (nextSeconds: number): HeartbeatOutcome => ({ kind: 'answered', status: 'pending', nextSeconds });
const refused = (status: number, code: string, retryAfterSeconds: number | null = null): HeartbeatOutcome => ({
  kind: 'refused',
  status,
  code,
  retryAfterSeconds,
});
const silence: HeartbeatOutcome = { kind: 'failed', reason: 'no answer' };

/** The waits after the same outcome again and again. */
function waitsAfter(outcome: HeartbeatOutcome, times: number, byte = 255): number[] {
  const waits: number[] = [];
  let schedule = start;
  for (let time = 0; time < times; time += 1) {
    const next = scheduleAfter(schedule, outcome, limits, countingRandom(byte));
    schedule = next.schedule;
    waits.push(next.waitMs);
  }
  return waits;
}

describe('the schedule of heartbeats', () => {
  it('follows the interval that the API asks for, and is never later', () => {
    for (const byte of [0, 128, 255]) {
      const { waitMs } = scheduleAfter(start, accepted(20), limits, countingRandom(byte));
      assert.ok(waitMs <= 20_000 && waitMs >= 16_000, String(waitMs));
    }
  });

  it('never runs hot or stops, whatever interval the API asks for', () => {
    for (const [asked, least, most] of [
      [0, 800, 1000],
      [-5, 800, 1000],
      [1e12, 69_120_000, 86_400_000],
    ] as const) {
      const { waitMs } = scheduleAfter(start, accepted(asked), limits, countingRandom(99));
      assert.ok(waitMs >= least && waitMs <= most, `${asked}: ${waitMs}`);
    }
  });

  it('reports more often while it waits for approval', () => {
    assert.equal(scheduleAfter(start, pending(15), limits, countingRandom(0)).waitMs, 5_000);
    assert.equal(scheduleAfter(start, pending(2), limits, countingRandom(0)).waitMs, 2_000);
  });

  it('waits at least for Retry-After when the API is busy, and spreads behind it', () => {
    for (const code of ['rate.limited', 'control.backlogged']) {
      const status = code === 'rate.limited' ? 429 : 503;
      assert.equal(scheduleAfter(start, refused(status, code, 30), limits, countingRandom(0)).waitMs, 30_000);
      const late = scheduleAfter(start, refused(status, code, 30), limits, countingRandom(255)).waitMs;
      assert.ok(late > 35_000 && late <= 36_000, String(late));
    }
  });

  it('backs off without an answer, with at least half of it certain, up to the limit', () => {
    const [latest, earliest] = [waitsAfter(silence, 9), waitsAfter(silence, 9, 0)];
    assert.deepEqual(
      latest,
      [1, 2, 4, 8, 16, 32, 60, 60, 60].map((seconds) => seconds * 1000),
    );
    assert.deepEqual(
      earliest,
      latest.map((wait) => wait / 2),
    );
    assert.deepEqual(waitsAfter(refused(500, 'internal.error'), 3), latest.slice(0, 3));
  });

  it('begins anew after an answer', () => {
    const failed = scheduleAfter({ intervalSeconds: 15, failures: 9 }, silence, limits, countingRandom());
    assert.equal(failed.schedule.failures, 10);
    const { schedule } = scheduleAfter(failed.schedule, accepted(20), limits, countingRandom());
    assert.deepEqual(schedule, { intervalSeconds: 20, failures: 0 });
  });

  it('goes on asking after a refusal, at its interval or slower', () => {
    const waits = waitsAfter(refused(403, 'device.rejected'), 5, 0);
    assert.deepEqual(waits, [15_000, 30_000, 60_000, 60_000, 60_000]);
  });

  it('answers the challenge of a refusal of evidence at its interval, however often that happens', () => {
    assert.deepEqual(waitsAfter(refused(403, 'attestation.failed'), 3, 0), [15_000, 15_000, 15_000]);
  });

  it('keeps every wait between a fifth of a second and a day and a fifth', () => {
    const outcome = fc.oneof(
      fc.record({
        kind: fc.constant('answered' as const),
        status: fc.constantFrom('accepted' as const, 'pending' as const),
        nextSeconds: fc.integer(),
      }),
      fc.record({
        kind: fc.constant('refused' as const),
        status: fc.constantFrom(400, 401, 403, 409, 429, 500, 503),
        code: fc.string(),
        retryAfterSeconds: fc.option(fc.nat(1e9)),
      }),
      fc.record({ kind: fc.constant('failed' as const), reason: fc.string() }),
    );
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 200 }), fc.nat(255), (outcomes, byte) => {
        let schedule = start;
        for (const each of outcomes) {
          const next = scheduleAfter(schedule, each, limits, countingRandom(byte));
          assert.ok(next.waitMs >= 200 && next.waitMs <= 86_400_000 * 1.2, `${next.waitMs} after ${each.kind}`);
          schedule = next.schedule;
        }
      }),
    );
  });
});

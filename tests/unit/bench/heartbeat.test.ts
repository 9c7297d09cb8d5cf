// The pure parts of the heartbeat bench: rounds, ratios, costs, what Temporal and vegeta say, and what is compared afterwards.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { costOf, measurementsOf, ratioInTurns } from '#bench/heartbeat/closed-loop.ts';
import { deviceId, heartbeatBody } from '#bench/heartbeat/fleet-names.ts';
import type { Round } from '#bench/heartbeat/generator.ts';
import { readResults } from '#bench/heartbeat/open-loop.ts';
import { callsOf } from '#bench/heartbeat/temporal-calls.ts';
import { requireCounters } from '#bench/heartbeat/verify.ts';
import { median, planRounds, ratio } from '#bench/rounds.ts';

const round = (answered: number, processorMs: Record<string, number> = {}): Round => ({
  answered,
  seconds: 2,
  p50: 1,
  p99: 4,
  processorMs,
});

describe('rounds', () => {
  it('turn around, so that nobody is always first', () => {
    assert.deepEqual(planRounds(['a', 'b', 'c'], 3), ['a', 'b', 'c', 'c', 'b', 'a', 'a', 'b', 'c']);
  });

  it('have a median, of even and odd numbers of them and not of none', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.throws(() => median([]), RangeError);
  });

  it('are compared turn by turn', () => {
    // A machine that is half as fast in the second turn changes nothing.
    const rate = ({ answered }: Round): number => answered;
    assert.equal(ratioInTurns([round(80), round(40), round(60)], [round(100), round(50), round(100)], rate), 0.8);
    assert.throws(() => ratioInTurns([round(80), round(40)], [round(100)], rate), RangeError);
  });

  it('are not compared with nothing', () => {
    assert.throws(() => ratio(1, 0), RangeError);
    assert.throws(() => ratio(Number.NaN, 1), RangeError);
    assert.equal(ratio(0, 2), 0);
  });
});

describe('the cost of a heartbeat', () => {
  it('is the processor time of all groups by what was answered', () => {
    assert.equal(costOf(round(1000, { API: 60, Postgres: 40, generator: 500 }), ['API', 'Postgres']), 0.1);
    // A group that nobody looked at makes no figure.
    assert.ok(Number.isNaN(costOf(round(1000, { API: 60 }), ['API', 'Postgres'])));
  });

  it('is shown by group beside rate and latency', () => {
    const rows = measurementsOf({ name: 'a', label: 'A', groups: { API: 1 } }, [
      round(1000, { API: 60, generator: 10 }),
      round(2000, { API: 100, generator: 20 }),
    ]);
    assert.deepEqual(
      rows.map(({ label, value, p99 }) => [label, value, p99]),
      [
        ['A, closed loop', 750, null],
        ['A, latency in the closed loop', 1, 4],
        ['A, processor time of API', 0.055, null],
        ['A, processor time of generator', 0.01, null],
      ],
    );
  });
});

describe('what others say', () => {
  it('counts every call to Temporal, whatever became of it, and takes no silence for none', () => {
    const name = 'sentinel_temporal_request_duration_seconds';
    const metrics = [
      `# TYPE ${name} histogram`,
      `${name}_bucket{le="0.1",operation="signalWithStart",status="ok"} 3`,
      `${name}_sum{operation="signalWithStart",status="ok"} 0.2`,
      `${name}_count{operation="signalWithStart",status="ok"} 3`,
      `${name}_count{operation="startUpdate",status="failed"} 2`,
      'sentinel_heartbeats_total{outcome="accepted"} 70',
    ].join('\n');
    assert.equal(callsOf(metrics), 5);
    assert.equal(callsOf(`# TYPE ${name} histogram\n`), 0);
    assert.throws(() => callsOf('sentinel_heartbeats_total 1\n'), /does not say/);
  });

  it('reads vegeta’s table of results', () => {
    assert.deepEqual(
      readResults('1700000000000000000,200,1500000,10,20,,x,0\n1700000000001000000,503,250000,10,20,,y,1\n'),
      [
        { at: 1_700_000_000_000, status: 200, milliseconds: 1.5 },
        { at: 1_700_000_000_001, status: 503, milliseconds: 0.25 },
      ],
    );
  });
});

describe('the comparison with the database', () => {
  const fleet = { name: 'd', identities: 1, copies: 1 };
  const counters = [{ answered: Uint32Array.of(5, 7), sent: Uint32Array.of(6, 7), answers: 9 }];
  const stored = (first: number, second: number): Map<string, number> =>
    new Map([
      [deviceId(fleet, 0, 0), first],
      [deviceId(fleet, 0, 1), second],
    ]);

  it('takes a heartbeat that was under way either way', () => {
    requireCounters(fleet, counters, stored(5, 7));
    requireCounters(fleet, counters, stored(6, 7));
  });

  it('names the device that lost one, or has one that was never sent', () => {
    assert.throws(() => requireCounters(fleet, counters, stored(4, 7)), /d-0: counter 5 was answered/);
    assert.throws(() => requireCounters(fleet, counters, stored(5, 8)), /d-0-1: counter 7 was answered/);
    assert.throws(() => requireCounters(fleet, counters, new Map()), /undefined/);
  });
});

describe('a steady device', () => {
  it('says the same each time but for its name and counter, which rises', () => {
    const { device_id, heartbeat_counter, ...rest } = JSON.parse(heartbeatBody('a', 1)) as Record<string, unknown>;
    const { device_id: other, heartbeat_counter: next, ...same } = JSON.parse(heartbeatBody('b', 2)) as typeof rest;
    assert.deepEqual([device_id, heartbeat_counter, other, next], ['a', 1, 'b', 2]);
    assert.deepEqual(rest, same);
  });
});

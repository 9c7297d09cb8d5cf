// Shedding: when heartbeats are refused, for how long, and that it ends.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { batchesAtOnce, createAdmission, type Admission } from '#api/admission.ts';
import { createMetrics } from '#api/metrics.ts';

const options = { maximumOpen: 10, targetMs: 200, queueFrom: 1, windowMs: 250, intervalSeconds: 15 };

function admissionAt(change: Partial<typeof options> = {}) {
  let nowMs = 0;
  let seed = 1;
  const metrics = createMetrics('0.0.0');
  // A linear congruential generator: even enough to stand for many devices, and the same every time.
  const random = {
    bytes: () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Uint8Array.of((seed >> 16) & 255, (seed >> 8) & 255);
    },
  };
  const admission = createAdmission({ random, metrics, nowMs: () => nowMs }, { ...options, ...change });
  /** What becomes of heartbeats that come ten at a time, each answered after so long. */
  const run = (heartbeats: number, answerMs: number) => {
    const rests: number[] = [];
    for (let left = heartbeats; left > 0; left -= 10) {
      const all = takeAll(admission, 10);
      nowMs += answerMs;
      for (const one of all) {
        if (one.taken) one.done();
        else rests.push(one.retryAfterSeconds);
      }
    }
    return { taken: heartbeats - rests.length, rests };
  };
  return { admission, run, wait: (ms: number) => (nowMs += ms), metrics };
}

function takeAll(admission: Admission, count: number) {
  return Array.from({ length: count }, () => admission.admit());
}

describe('admission of heartbeats', () => {
  it('takes all as long as answers are quick (FT-11)', () => {
    assert.deepEqual(admissionAt().run(1_000, 20).rests, []);
  });

  it('refuses at once what is more than may be open, and takes again when one was answered (FT-11)', () => {
    const { admission } = admissionAt();
    const all = takeAll(admission, 12);
    assert.deepEqual(
      all.map(({ taken }) => taken),
      [...Array.from({ length: 10 }, () => true), false, false],
    );
    const [first] = all;
    assert.ok(first?.taken);
    first.done();
    assert.equal(admission.admit().taken, true);
    assert.equal(admission.admit().taken, false);
  });

  it('takes all of a few that are slow, since they are no queue (FT-11)', () => {
    assert.deepEqual(admissionAt({ queueFrom: 11 }).run(1_000, 3_000).rests, []);
  });

  it('takes ever less while answers stay slow, and never nothing (FT-11)', () => {
    const { run } = admissionAt();
    const early = run(60, 300);
    const late = run(2_000, 300);
    assert.ok(early.rests.length > 0, 'refuses some');
    assert.ok(late.taken > 0, 'takes some');
    assert.ok(late.taken / 2_000 < 0.2, `takes ${late.taken} of 2000`);
  });

  it('takes all again soon after it is over, and stays where it is in between (FT-11)', () => {
    const { run, wait } = admissionAt();
    run(2_000, 300);
    const between = run(200, 150);
    assert.ok(between.taken / 200 < 0.3, 'neither slow nor quick changes nothing');
    wait(10_000);
    run(10, 20);
    assert.deepEqual(run(200, 20).rests, []);
  });

  it('does not take one pause for an overload: heartbeats that a freeze held up are followed by quick ones (FT-11)', () => {
    const { admission, run, wait } = admissionAt();
    const held = takeAll(admission, 5);
    wait(120_000);
    for (const admitted of held) if (admitted.taken) admitted.done();
    assert.deepEqual(run(500, 1).rests, []);
    assert.deepEqual(run(500, 20).rests, []);
  });

  it('counts a window without any answer as a bad one', () => {
    const { admission, wait } = admissionAt();
    takeAll(admission, 3);
    for (let window = 0; window < 20; window += 1) {
      wait(300);
      admission.admit();
    }
    const after = takeAll(admission, 3);
    assert.ok(after.some(({ taken }) => !taken));
  });

  it('asks each device for a rest of its own, short after a burst and long in a lasting overload (FT-11)', () => {
    const burst = admissionAt();
    takeAll(burst.admission, 10);
    const short = takeAll(burst.admission, 200).flatMap((one) => (one.taken ? [] : [one.retryAfterSeconds]));
    assert.ok(new Set(short).size >= 12, 'spread over the interval');
    assert.ok(short.every((seconds) => seconds >= 1 && seconds <= 16));
    const { rests } = admissionAt().run(2_000, 300);
    assert.ok(new Set(rests).size > 80, 'spread over many intervals');
    assert.ok(rests.every((seconds) => seconds >= 15 && seconds <= 225));
  });

  it('shows how much is taken', async () => {
    const { run, admission, metrics } = admissionAt();
    run(100, 300);
    takeAll(admission, 1);
    const text = await metrics.registry.metrics();
    assert.match(text, /^sentinel_heartbeat_admission_share 0\.\d+$/m);
    assert.match(text, /^sentinel_heartbeats_shed_total\{reason="share"\} \d+$/m);
  });
});

describe('connections of the database', () => {
  it('are kept for people: heartbeats never use more than half of them (FT-11)', () => {
    assert.deepEqual([2, 3, 4, 6, 10, 200].map(batchesAtOnce), [1, 1, 2, 3, 4, 4]);
  });
});

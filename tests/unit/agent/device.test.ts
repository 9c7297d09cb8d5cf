// The device loop and its counter.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openCounter } from '#agent/counter.ts';
import { runDevice, type DeviceDeps } from '#agent/device.ts';
import type { HeartbeatOutcome } from '#agent/heartbeat-schedule.ts';
import { ApiProblem } from '#client/api-problem.ts';
import { systemRandom } from '#contracts/deps.ts';
import type { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { TrustError } from '#contracts/problems.ts';
import { countingRandom } from '#tests/fakes/counting-random.ts';

async function aFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-agent-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

const answer: HeartbeatAnswer = {
  status: 'accepted',
  trust_tier: 'monitored',
  commands: [],
  attestation_challenge: null,
  acknowledged: [],
  next_heartbeat_seconds: 15,
};

/** Runs a device whose time passes at once, until it has sent `rounds` heartbeats or tried to. */
async function runRounds(rounds: number, changes: Partial<DeviceDeps> = {}) {
  const stop = new AbortController();
  const sent: HeartbeatBody[] = [];
  const outcomes: HeartbeatOutcome[] = [];
  const waits: number[] = [];
  let counter = 0;
  await runDevice(
    {
      deviceId: 'lab-1',
      send: async (body) => {
        sent.push(body);
        return answer;
      },
      nextCounter: async () => (counter += 1),
      observe: () => ({ platform: 'linux' }),
      limits: { firstIntervalSeconds: 15, pendingSeconds: 5, longestSeconds: 60 },
      random: countingRandom(),
      sleep: async (ms) => {
        waits.push(ms);
        if (waits.length === rounds) stop.abort();
      },
      mayProceed: async () => {},
      onOutcome: (outcome) => void outcomes.push(outcome),
      ...changes,
    },
    stop.signal,
  );
  return { sent, outcomes, waits };
}

describe('a device', () => {
  it('sends what it observes with a counter that grows', async () => {
    const { sent, outcomes, waits } = await runRounds(3);
    assert.deepEqual(sent, [
      { device_id: 'lab-1', heartbeat_counter: 1, platform: 'linux' },
      { device_id: 'lab-1', heartbeat_counter: 2, platform: 'linux' },
      { device_id: 'lab-1', heartbeat_counter: 3, platform: 'linux' },
    ]);
    assert.deepEqual(outcomes[0], { kind: 'answered', status: 'accepted', nextSeconds: 15 });
    assert.deepEqual(waits, [15_000, 15_000, 15_000]);
  });

  it('takes another counter after a lost answer, since the old one may be used up', async () => {
    const counters: unknown[] = [];
    const { outcomes } = await runRounds(2, {
      send: async (body) => {
        counters.push(body.heartbeat_counter);
        throw new ApiProblem({ code: 'service.unavailable', status: 0, detail: 'no answer' });
      },
    });
    assert.deepEqual(counters, [1, 2]);
    assert.deepEqual(outcomes[0], { kind: 'failed', reason: 'no answer' });
  });

  it('sends nothing when its counter cannot be written down', async () => {
    const { sent, outcomes } = await runRounds(2, {
      nextCounter: async () => {
        throw new TrustError('heartbeat.counter_invalid', { detail: 'disk full' });
      },
    });
    assert.equal(sent.length, 0);
    assert.deepEqual(outcomes[0], { kind: 'failed', reason: 'disk full' });
  });

  it('hears refusals with their code and Retry-After', async () => {
    const { outcomes, waits } = await runRounds(1, {
      send: async () => {
        throw new ApiProblem({ code: 'rate.limited', status: 429, retryAfterSeconds: 40 });
      },
    });
    assert.deepEqual(outcomes, [{ kind: 'refused', status: 429, code: 'rate.limited', retryAfterSeconds: 40 }]);
    assert.deepEqual(waits, [40_000]);
  });

  it('ends at once when it is stopped while it waits for an answer', async () => {
    const stop = new AbortController();
    const outcomes: HeartbeatOutcome[] = [];
    const running = runDevice(
      {
        deviceId: 'lab-1',
        send: (_body, signal) =>
          new Promise((_resolve, reject) => {
            signal?.addEventListener('abort', () => reject(signal.reason as Error));
            queueMicrotask(() => stop.abort());
          }),
        nextCounter: async () => 1,
        observe: () => ({}),
        limits: { firstIntervalSeconds: 15, pendingSeconds: 5, longestSeconds: 60 },
        random: countingRandom(),
        sleep: async () => assert.fail('it waits for nothing'),
        mayProceed: async () => {},
        onOutcome: (outcome) => void outcomes.push(outcome),
      },
      stop.signal,
    );
    await running;
    assert.deepEqual(outcomes, []);
  });
});

describe('the counter of a device', () => {
  it('grows across restarts, whatever moment each of them comes at', async (t) => {
    const file = join(await aFolder(t), 'counter');
    let last = 0;
    for (const uses of [1, 63, 0, 64, 65, 2, 130]) {
      const next = await openCounter(file, systemRandom);
      for (let use = 0; use < uses; use += 1) {
        const counter = await next();
        assert.ok(counter > last, `${counter} after ${last}`);
        last = counter;
        assert.ok(Number(await readFile(file, 'utf8')) >= counter, 'it is written before it is used');
      }
    }
  });

  it('begins with 1 and leaves nothing out while it runs', async (t) => {
    const next = await openCounter(join(await aFolder(t), 'counter'), systemRandom);
    for (let expected = 1; expected <= 130; expected += 1) assert.equal(await next(), expected);
  });

  it('is private', async (t) => {
    const file = join(await aFolder(t), 'deep', 'counter');
    await (
      await openCounter(file, systemRandom)
    )();
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  it('refuses a damaged file instead of beginning anew', async (t) => {
    const file = join(await aFolder(t), 'counter');
    for (const text of ['', 'x', '-1', '1.5', '9007199254740991']) {
      await writeFile(file, text);
      await assert.rejects(openCounter(file, systemRandom), { code: 'heartbeat.counter_invalid' }, text);
    }
  });

  it('is not given out when it cannot be written', async (t) => {
    const folder = await aFolder(t);
    await writeFile(join(folder, 'file'), '');
    const next = await openCounter(join(folder, 'counter'), systemRandom);
    await rm(folder, { recursive: true });
    await writeFile(folder, '');
    await assert.rejects(next());
  });
});

// Rounds of kills under load for as long as is asked, each round with a seed of its own that repeats its schedule.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf } from '#bench/simulate/chance.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { checkInvariants } from './invariants.ts';
import { startLoad } from './load.ts';
import { asked, report } from './report.ts';
import { besiege, parts, type Part, type Siege } from './siege.ts';

const killsOfOneRound = 8;
/** Five deaths within a minute end `npm start`, as they should. */
const deathsInARow = 2;

describe('an installation under siege', () => {
  const cleanup = cleanupAfterAll();
  let siege: Siege;
  before(
    async () => {
      siege = await besiege(cleanup);
    },
    { timeout: 180_000 },
  );

  async function round(seed: number, schedule: readonly Part[], whileAway?: () => Promise<unknown>): Promise<void> {
    const chance = chanceOf(seed, 2);
    const load = await startLoad(siege.stack, { seed, fleet: 6, most: 20 });
    let lost: readonly string[];
    try {
      for (const part of schedule) {
        await load.answered(50 + Math.floor(chance() * 400));
        await siege.kill(part, whileAway ?? (() => pause(chance() * 3_000)));
      }
      await load.answered(100);
      await load.stop();
      lost = (await checkInvariants(siege, load.ledger)).broken;
    } catch (error) {
      lost = [String(error)];
    }
    const { asked: requests, accepted, devices } = load.ledger;
    const beats = devices.reduce((sum, { accepted: used }) => sum + used.size, 0);
    const votes = devices.reduce((sum, { voted }) => sum + voted.size, 0);
    for (const [part, kills] of Map.groupBy(schedule, (each) => each))
      report({ what: `kill -9 of ${part}`, times: kills.length, lost: [] });
    report({ what: 'rounds, checked in full', times: 1, lost, seed });
    report({ what: 'requests under load', times: requests, lost: [] });
    report({ what: 'requests answered 2xx', times: accepted, lost: [] });
    report({ what: 'heartbeats accepted', times: beats, lost: [] });
    report({ what: 'votes', times: votes, lost: [] });
    assert.deepEqual(lost, [], `seed ${seed}`);
  }

  function scheduleOf(seed: number): Part[] {
    const chance = chanceOf(seed);
    const schedule: Part[] = [];
    while (schedule.length < killsOfOneRound) {
      const part = parts[Math.floor(chance() * parts.length)] ?? 'worker';
      if (schedule.filter((each) => each === part).length < deathsInARow) schedule.push(part);
    }
    return schedule;
  }

  it('keeps every promise while Temporal is away for a minute (FT-03)', async () => {
    await round(asked.seed, ['temporal'], () => pause(60_000));
  });

  it(`keeps every promise for ${asked.minutes} minutes`, async () => {
    const end = Date.now() + asked.minutes * 60_000;
    for (let seed = asked.seed; Date.now() < end; seed += 1) await round(seed, scheduleOf(seed));
  });
});

// Rounds of kills under load for a part of the time, each round with a seed of its own that repeats its schedule.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf } from '#bench/simulate/chance.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { checkInvariants } from './invariants.ts';
import { startLoad } from './load.ts';
import { beginPart } from './part.ts';
import { besiege, targets, type Siege, type Target } from './siege.ts';

const killsOfOneRound = 8;
/** Five deaths within a minute end `npm start`, as they should. */
const deathsInARow = 2;

describe('an installation under siege', () => {
  const part = beginPart('kills');
  const cleanup = cleanupAfterAll();
  let siege: Siege;
  before(
    async () => {
      part.doing('starts an installation with a PostgreSQL and a Temporal of its own');
      siege = await besiege(cleanup);
    },
    { timeout: 180_000 },
  );

  async function round(seed: number, schedule: readonly Target[], whileAway?: () => Promise<unknown>): Promise<void> {
    const chance = chanceOf(seed, 2);
    const load = await startLoad(siege.stack, { seed, fleet: 6, most: 20 });
    let kills = 0;
    let at = 'load';
    part.doing(() => `${at}, ${kills} of ${schedule.length} kills, ${load.ledger.asked} requests`, seed);
    let lost: readonly string[];
    try {
      for (const target of schedule) {
        at = 'load';
        await load.answered(50 + Math.floor(chance() * 400));
        at = `kill -9 of ${target}`;
        await siege.kill(target, whileAway ?? (() => pause(chance() * 3_000)));
        kills += 1;
      }
      at = 'load';
      await load.answered(100);
      at = 'everybody hears what became of what they asked';
      await load.stop();
      at = 'the check';
      lost = (await checkInvariants(siege, load.ledger)).broken;
    } catch (error) {
      lost = [String(error)];
    }
    const { asked: requests, accepted, devices } = load.ledger;
    const beats = devices.reduce((sum, { accepted: used }) => sum + used.size, 0);
    const votes = devices.reduce((sum, { voted }) => sum + voted.size, 0);
    for (const [target, times] of Map.groupBy(schedule.slice(0, kills), (each) => each))
      part.found({ what: `kill -9 of ${target}`, times: times.length, lost: [] });
    part.found({ what: 'rounds of kills, checked in full', times: 1, lost, seed });
    part.found({ what: 'requests under kills', times: requests, lost: [] });
    part.found({ what: 'requests answered 2xx', times: accepted, lost: [] });
    part.found({ what: 'heartbeats accepted', times: beats, lost: [] });
    part.found({ what: 'votes that were told to count', times: votes, lost: [] });
    assert.deepEqual(lost, [], `seed ${seed}`);
  }

  function scheduleOf(seed: number): Target[] {
    const chance = chanceOf(seed);
    const schedule: Target[] = [];
    while (schedule.length < killsOfOneRound) {
      const target = targets[Math.floor(chance() * targets.length)] ?? 'worker';
      if (schedule.filter((each) => each === target).length < deathsInARow) schedule.push(target);
    }
    return schedule;
  }

  it('keeps every promise while Temporal is away for a minute, or a seventh of the time (FT-03)', async () => {
    const seconds = Math.min(60, Math.floor(part.timeMs / 7_000));
    await round(part.seed, ['temporal'], () => pause(seconds * 1_000));
    part.did('seconds without Temporal', seconds, 60);
  });

  it('keeps every promise round after round', async () => {
    let [rounds, tookMs] = [0, 0];
    for (let seed = part.seed; rounds === 0 || part.hasTimeFor(tookMs / 2); seed += 1, rounds += 1) {
      const began = Date.now();
      await round(seed, scheduleOf(seed));
      tookMs = Date.now() - began;
    }
    part.did(`rounds of ${killsOfOneRound} kills`, rounds);
  });
});

// Every step of every verification of evidence is made to fail in every way, on the real store: the device loses its trust each
// time, the audit says so, and the actor's own activity confirms nothing. Steps join these tests by being in their list.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { EvidenceRefused } from '#api/attestation.ts';
import { take } from '#bench/simulate/model-actor.ts';
import { deviceActor } from '#machines/device-actor.ts';
import { attestedDevice, type AttestedDevice, type Judge } from '#tests/harness/attested-devices.ts';
import { cleanupAfterAll, type Cleanup } from '#tests/harness/cleanup.ts';
import { everyStep, judgeWithStep, listNames, type StepName } from '#tests/harness/failing-steps.ts';
import { failures, failuresAtOnce } from '#tests/harness/forced-failure.ts';
import { hangingJudge } from '#tests/harness/hanging-judge.ts';
import { storeTest, type StoreTest } from '#tests/store/database.ts';
import * as devices from '#tests/unit/machines/devices.ts';
import { inWords } from '#tests/unit/machines/machines.ts';

const ways = [...failuresAtOnce, 'never answers'] as const;
/** Threads that hang at the same time: they wait, and take no processor. */
const hangingAtOnce = 6;

describe('the steps of a verification', () => {
  const t = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(t);
  });

  /** By the API the device, which is trusted, is refused, falls at once, and the audit has both. */
  async function falls(device: AttestedDevice, judge: Judge, why: string): Promise<void> {
    // What was activated is on record for the API, and proven again for the actor alone.
    if (device.list === 'activation') return;
    await assert.rejects(device.judge(judge), (error) => {
      assert.ok(error instanceof EvidenceRefused, `${why}: ${String(error)}`);
      assert.equal(error.code, 'attestation.failed', why);
      return true;
    });
    assert.equal(await device.stateNow(), 'failed', why);
    assert.deepEqual(
      await device.audited(),
      [
        ['attestation.failed', 'attestation.failed'],
        ['device.trust.updated', 'restricted'],
      ],
      why,
    );
  }

  /** By the actor's activity nothing is proven, and its machine says so instead of raising the tier. */
  async function isDisputed(device: AttestedDevice, judge: Judge, why: string): Promise<void> {
    assert.equal((await device.verify()).valid, true, `${why}: every step as it is`);
    const { valid, code, reason, key_id, binding_id } = await device.verify(judge);
    assert.deepEqual([valid, code, key_id, binding_id], [false, 'attestation.failed', null, null], why);
    const answer = devices.evidence(devices.bound, { valid, code, reason, key_id, binding_id });
    const taken = take(deviceActor, devices.bound, answer);
    assert.equal(inWords(taken), 'approved: +device.attestation.disputed', why);
    assert.notEqual(taken.snapshot.context.tier, 'trusted', why);
  }

  for (const { list, step } of everyStep) {
    it(`${list} › ${step} takes the trust when it ${ways.join(', ')} (SA-03)`, async () => {
      const device = await attestedDevice(database, `${list}-${step}`, list);
      for (const way of ways) {
        const failing = judgeWithStep({ list, step }, failures[way]);
        const judge: Judge = async (judgement) => failing(judgement);
        await device.trust();
        await device.audited();
        await isDisputed(device, judge, way);
        await falls(device, judge, way);
      }
    });
  }

  for (const list of listNames) {
    it(`of ${list}: each takes the trust when it hangs, ended by the limit of its thread (SA-03)`, async (context) => {
      const waiting = everyStep.filter((one) => one.list === list);
      const work = async (): Promise<void> => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await hangs(context, next);
      };
      await Promise.all(Array.from({ length: hangingAtOnce }, work));
    });
  }

  async function hangs(context: Cleanup, name: StepName): Promise<void> {
    const device = await attestedDevice(database, `${name.list}-${name.step}-hangs`, name.list);
    await device.trust();
    await device.audited();
    const said: string[] = [];
    const hanging = hangingJudge(context, name, said);
    // To start a thread takes more than anything else here, and one that hangs refuses all that it was given.
    const judge = inOneLot(hanging.judge, name.list === 'activation' ? 1 : 2);
    await Promise.all([isDisputed(device, judge, name.step), falls(device, judge, name.step)]);
    await hanging.close();
    assert.equal(said.length, 1, name.step);
    assert.match(said[0] ?? '', /^it gave no answer within/);
  }
});

/** Hands judgements over when so many have come. */
function inOneLot(judge: Judge, size: number): Judge {
  const all = Promise.withResolvers<void>();
  let come = 0;
  return async (judgement) => {
    come += 1;
    if (come === size) all.resolve();
    await all.promise;
    return judge(judgement);
  };
}

// That a key lives in its TPM is proven twice: what the API has written down of it raises nothing unless the evidence bears it out.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { take } from '#bench/simulate/model-actor.ts';
import { deviceActor } from '#machines/device-actor.ts';
import { findActivation } from '#store/attestation.ts';
import { prune } from '#store/reconcile.ts';
import { attestedDevice, type AttestedDevice } from '#tests/harness/attested-devices.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { storeTest, type StoreTest } from '#tests/store/database.ts';
import * as devices from '#tests/unit/machines/devices.ts';

describe('a key of a TPM', () => {
  const t = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(t);
  });

  /** Says of the last verdict that its key was activated by the evidence of this one. */
  async function claimActivation({ id, shown }: AttestedDevice, verdict: number): Promise<void> {
    const { binding } = await shown();
    await database.rows(
      `INSERT INTO key_activation (project_id, device_id, key_id, endorsement_key_id, verdict)
       VALUES ('default', $1, $2, $3, $4)
       ON CONFLICT (project_id, device_id, key_id) DO UPDATE SET verdict = excluded.verdict`,
      [id, binding.key_id, binding.binding_id, verdict],
    );
  }

  /** Its row says that this key was verified, which it never was. */
  async function claimKey({ id }: AttestedDevice, keyId: string, bindingId: string): Promise<void> {
    await database.rows(
      `UPDATE device_attestation SET state = 'verified', key_id = $2, binding_id = $3,
         verified_at = '2027-01-01', fresh_until = '2027-01-02' WHERE device_id = $1`,
      [id, keyId, bindingId],
    );
  }

  /** People have bound the device, and its actor hears what its activity says. */
  async function actorSays(device: AttestedDevice) {
    const { valid, code, reason, key_id, binding_id } = await device.verify();
    const answer = devices.evidence(devices.bound, { valid, code, reason, key_id, binding_id });
    const { snapshot, records } = take(deviceActor, devices.bound, answer);
    return {
      said: [valid, code, reason],
      tier: snapshot.context.tier,
      audit: records.map(({ action, details }) => [action, details['reason']]),
    };
  }
  const disputed = {
    said: [false, 'attestation.failed', 'key_unproven'],
    tier: 'monitored',
    audit: [['device.attestation.disputed', 'key_unproven']],
  };

  it('is confirmed by the evidence that opened its credential, and by what came after it (AT-07)', async () => {
    const device = await attestedDevice(database, 'sound', 'quote');
    await device.trust();
    const { verdict } = await device.shown();
    assert.equal((await findActivation(database.worker, 'default', device.id, verdict))?.verdict, verdict);
    assert.equal((await device.verify()).valid, true);
    await device.judge();
    assert.equal((await device.shown()).verdict, verdict + 1);
    assert.equal((await findActivation(database.worker, 'default', device.id, verdict + 1))?.verdict, verdict);
    assert.equal((await device.verify()).valid, true);
  });

  it('that only its row says was verified has a credential to open, and is confirmed by nobody (AT-07, SA-04)', async () => {
    const device = await attestedDevice(database, 'row', 'quote');
    await device.ask();
    const first = await device.judge();
    assert.equal(first?.verdict.outcome, 'unproven');
    assert.ok(first.standing.challenge?.activation);
    const { key_id, binding_id } = first.verdict;
    assert.ok(key_id !== null && binding_id !== null);
    await claimKey(device, key_id, binding_id);
    // The row points to the evidence that proved nothing.
    assert.deepEqual(await actorSays(device), disputed);
    // And for the API it says nothing of where the key lives.
    await database.rows(`DELETE FROM attestation_challenge WHERE device_id = $1`, [device.id]);
    await device.ask();
    const next = await device.judge();
    assert.equal(next?.verdict.outcome, 'unproven');
    assert.ok(next.standing.challenge?.activation);
    // It is no dead end.
    assert.equal((await device.judge())?.verdict.outcome, 'verified');
    assert.equal((await device.verify()).valid, true);
  });

  it('whose activation is on record and was none is confirmed by nobody, and the trail says why (AT-07, SA-04)', async () => {
    const device = await attestedDevice(database, 'record', 'quote');
    await device.ask();
    const first = await device.judge();
    const { key_id, binding_id } = first?.verdict ?? {};
    assert.ok(first?.verdict.outcome === 'unproven' && key_id && binding_id);
    await claimKey(device, key_id, binding_id);
    await claimActivation(device, 1);
    await database.rows(`DELETE FROM attestation_challenge WHERE device_id = $1`, [device.id]);
    await device.ask();
    // The API believes its record.
    assert.equal((await device.judge())?.verdict.outcome, 'verified');
    assert.deepEqual(await actorSays(device), disputed);
  });

  it('whose record was changed, or is of another device or secret, is confirmed by nobody (SA-04)', async () => {
    const changes: readonly (readonly [string, string])[] = [
      ['evidence', `evidence = jsonb_set(evidence, '{activated_secret}', '"AAAA"')`],
      [
        'secret',
        `circumstances = jsonb_set(circumstances, '{challenge,activation,secret_sha256}', '"${'f'.repeat(64)}"')`,
      ],
      ['hardware', `circumstances = jsonb_set(circumstances, '{challenge,activation,endorsement_key_id}', '"ff"')`],
      ['device', `circumstances = jsonb_set(circumstances, '{device_id}', '"another"')`],
      ['challenge', `circumstances = jsonb_set(circumstances, '{challenge}', 'null')`],
    ];
    for (const [what, change] of changes) {
      const device = await attestedDevice(database, `changed-${what}`, 'quote');
      await device.trust();
      const { verdict } = await device.shown();
      await device.judge();
      assert.equal((await device.verify()).valid, true, what);
      await database.rows(`UPDATE attestation_verdict SET ${change} WHERE device_id = $1 AND verdict = $2`, [
        device.id,
        verdict,
      ]);
      const { valid, code, key_id } = await device.verify();
      assert.deepEqual([valid, code, key_id], [false, 'attestation.failed', null], what);
    }
  });

  it('can be confirmed however long ago it was activated: nobody sweeps what it rests on (AT-07)', async () => {
    const device = await attestedDevice(database, 'kept', 'quote');
    await device.trust();
    const { verdict } = await device.shown();
    for (let beat = 1; beat <= 3; beat += 1) await device.judge();
    await database.rows(`UPDATE attestation_verdict SET at = now() - interval '400 days' WHERE device_id = $1`, [
      device.id,
    ]);
    await prune(database.worker, new Date(), { verdictDays: 7 });
    const kept = await database.rows<{ verdict: number }>(
      `SELECT verdict::integer FROM attestation_verdict WHERE device_id = $1 ORDER BY 1`,
      [device.id],
    );
    // What moved it, and the last one.
    assert.deepEqual(
      kept.map((row) => row.verdict),
      [verdict, verdict + 3],
    );
    assert.equal((await device.verify()).valid, true);
    await assert.rejects(
      database.rows(`DELETE FROM attestation_verdict WHERE device_id = $1 AND verdict = $2`, [device.id, verdict]),
      /key_activation/,
    );
  });
});

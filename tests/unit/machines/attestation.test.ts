// What the device machine makes of evidence: who binds a key, what makes a device trusted, and what never does.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { take } from '#bench/simulate/model-actor.ts';
import { deviceActor } from '#machines/device-actor.ts';
import type { DeviceEvent } from '#machines/device-events.ts';
import * as devices from './devices.ts';
import { inWords } from './machines.ts';

const { approvedBy, asks, evidence, given, news, operator, read, standing } = devices;
type Device = devices.Device;

const rotates = { ...asks, allow_key_rotation_with_stable_binding: true };
const held = ({ context }: Device) => ({
  key: context.attestation_key,
  hardware: context.hardware_binding,
  generation: context.attested_generation,
  tier: context.tier,
});
const bound = { key: 'key-1', hardware: 'tpm-1', generation: null, tier: 'monitored' };
const trusted = { ...bound, generation: 1, tier: 'trusted' };
const words = (device: Device, event: DeviceEvent): string => inWords(take(deviceActor, device, event));

describe('a key of a device', () => {
  it('is bound with the enrollment whose evidence came first, and raises nothing by itself', () => {
    assert.deepEqual(held(devices.bound), bound);
  });

  it('is shown to approvers once it is known, and a vote from before it counts no more', () => {
    const { pending } = devices;
    const shown = given(pending, news(pending, { presents: 'first', standing: standing() }));
    assert.notEqual(shown.context.review?.digest, pending.context.review?.digest);
    assert.equal(shown.context.review?.hardware?.key_id, 'key-1');
    const early = read(shown, { state: 'approved', digest: pending.context.review?.digest ?? '', approvers: ['ann'] });
    assert.equal(given(shown, early).value, 'pending');
  });

  it('stays under review when its next challenge is open, and not when its evidence failed', () => {
    const shown = given(devices.unknown, news(devices.unknown, { presents: 'first', standing: standing() }));
    const asked = news(shown, { presents: 'first', standing: standing({ state: 'challenged' }) });
    assert.equal(given(shown, asked).context.review?.digest, shown.context.review?.digest);
    const failed = news(shown, { presents: 'first', standing: standing({ state: 'failed' }) });
    assert.equal(given(shown, failed).context.review?.hardware, null);
  });

  it('first seen after approval waits for a review of its own', () => {
    const { showing } = devices;
    assert.equal(showing.context.review?.kind, 'hardware');
    assert.equal(showing.context.pinned?.fingerprint_sha256, devices.certificate('first').fingerprint_sha256);
    assert.deepEqual(held(showing), { ...bound, key: null, hardware: null });
    const approving = approvedBy(showing, 'bob');
    assert.equal(words(showing, approving), 'approved: ?approval.consumed +device.hardware.bound news.fetch');
    const after = given(showing, approving);
    assert.deepEqual(held(after), bound);
    assert.deepEqual(after.context.approvers, ['ann']);
  });

  it('that people turned down is not asked about again, and leaves the certificate as it is', () => {
    const { showing } = devices;
    const refused = given(showing, read(showing, { state: 'rejected', rejected_by: 'ann' }));
    assert.equal(refused.value, 'approved');
    assert.deepEqual(refused.context.rejected_keys, ['key-1']);
    assert.deepEqual(refused.context.rejected_fingerprints, []);
    assert.equal(given(refused, news(refused, { standing: standing() })).context.review, null);
    const other = news(refused, { standing: standing({ key_id: 'key-2' }) });
    assert.equal(given(refused, other).context.review?.hardware?.key_id, 'key-2');
    assert.deepEqual(given(refused, operator('device.reset')).context.rejected_keys, []);
  });

  it('is not asked about while the certificate is revoked', () => {
    const revoked = given(devices.approved, news(devices.approved, { revoked: ['first'] }));
    assert.equal(words(revoked, news(revoked, { revoked: ['first'], standing: standing() })), 'approved');
  });

  it('is not bound by an open enrollment window', () => {
    const { unknown, openWindow } = devices;
    const entered = news(unknown, { presents: 'first', policy: openWindow, standing: standing() });
    assert.match(words(unknown, entered), /^approved: .* news.fetch$/);
    assert.deepEqual(held(given(unknown, entered)), { ...bound, key: null, hardware: null });
  });

  it('of other hardware is neither asked about nor taken over (AT-09, SA-05)', () => {
    for (const policy of [asks, rotates]) {
      const other = standing({ generation: 2, key_id: 'key-2', binding_id: 'tpm-2' });
      const taken = take(deviceActor, devices.trusted, news(devices.trusted, { asks: policy, standing: other }));
      assert.deepEqual(taken.calls, []);
      assert.equal(taken.snapshot.context.review, null);
      const claimed = evidence(devices.trusted, { policy }, other);
      assert.notEqual(given(devices.trusted, claimed).context.tier, 'trusted');
      assert.equal(given(devices.trusted, claimed).context.attestation_key, 'key-1');
    }
  });
});

describe('another key in the hardware that the device is bound to', () => {
  const other = standing({ generation: 2, key_id: 'key-2' });

  it('waits for people where policy does not let it take over, and is bound once they approve', () => {
    const asked = given(devices.trusted, news(devices.trusted, { asks, standing: other }));
    assert.equal(asked.context.review?.kind, 'hardware');
    assert.equal(asked.context.review?.hardware?.key_id, 'key-2');
    assert.equal(asked.context.attestation_key, 'key-1');
    const after = given(asked, approvedBy(asked, 'bob'));
    assert.deepEqual(held(after), { ...bound, key: 'key-2' });
  });

  it('is not taken for the bound one before that, whatever its evidence proves (SA-04)', () => {
    const asked = given(devices.trusted, news(devices.trusted, { asks, standing: other }));
    assert.notEqual(given(asked, evidence(asked, {}, other)).context.tier, 'trusted');
  });
});

describe('evidence', () => {
  it('makes a device trusted once the activity has verified it, and not before', () => {
    const heard = news(devices.bound, { standing: standing() });
    assert.equal(words(devices.bound, heard), 'approved: evidence.verify');
    assert.equal(given(devices.bound, heard).context.tier, 'monitored');
    assert.equal(
      words(devices.bound, evidence(devices.bound)),
      'approved: +device.attestation.confirmed +device.trust.updated',
    );
    assert.deepEqual(held(devices.trusted), trusted);
    assert.equal(words(devices.trusted, news(devices.trusted, { standing: standing() })), 'approved');
    assert.equal(words(devices.trusted, evidence(devices.trusted)), 'approved');
  });

  it('of another generation has to be verified anew, which is told although the tier stays (AT-05)', () => {
    const next = standing({ generation: 2, verdict: 20 });
    const [call] = take(deviceActor, devices.trusted, news(devices.trusted, { standing: next })).calls;
    assert.equal(call?.name, 'evidence.verify');
    assert.equal((call as { input: { generation: number } }).input.generation, 2);
    const taken = take(deviceActor, devices.trusted, evidence(devices.trusted, {}, next));
    assert.equal(taken.snapshot.context.attested_generation, 2);
    assert.equal(inWords(taken), 'approved: +device.attestation.confirmed +device.trust.updated');
  });

  it('that names another key or other hardware than the actor holds is not believed, and said once (SA-04)', () => {
    for (const swapped of [{ key_id: 'key-2' }, { binding_id: 'tpm-2' }, { binding_id: null }, { key_id: null }]) {
      const event = evidence(devices.bound, swapped);
      const taken = take(deviceActor, devices.bound, event);
      assert.equal(inWords(taken), 'approved: +device.attestation.disputed', JSON.stringify(swapped));
      assert.equal(taken.records[0]?.outcome, 'failed');
      assert.deepEqual(held(taken.snapshot), bound);
      assert.equal(words(taken.snapshot, event), 'approved');
    }
  });

  it('that the activity does not find valid raises nothing, and takes back what rested on it', () => {
    const invalid = { valid: false, code: 'attestation.failed', reason: 'pcr_mismatch' };
    assert.deepEqual(held(given(devices.bound, evidence(devices.bound, invalid))), bound);
    assert.deepEqual(held(given(devices.trusted, evidence(devices.trusted, invalid))), bound);
  });

  it('of another key in the same hardware is taken over where policy allows it (AT-08)', () => {
    const next = standing({ generation: 2, verdict: 20, key_id: 'key-2' });
    const asked = (policy: typeof asks) =>
      take(deviceActor, devices.trusted, news(devices.trusted, { asks: policy, standing: next })).calls.map(
        ({ name }) => name,
      );
    assert.deepEqual([asked(asks), asked(rotates)], [['approval.open'], ['evidence.verify']]);
    const taken = take(deviceActor, devices.trusted, evidence(devices.trusted, { policy: rotates }, next));
    assert.deepEqual(held(taken.snapshot), { ...trusted, key: 'key-2', generation: 2 });
    assert.deepEqual(
      taken.records.map(({ action, details }) => [action, details['replaced_key_id'] ?? null]),
      [
        ['device.attestation.key_replaced', 'key-1'],
        ['device.attestation.confirmed', null],
        ['device.trust.updated', null],
      ],
    );
    const forbidden = given(devices.trusted, evidence(devices.trusted, { policy: asks }, next));
    assert.deepEqual(held(forbidden), bound);
  });

  it('without stable hardware never brings another key (AT-08)', () => {
    const bare = standing({ binding_id: null });
    const shown = given(devices.approved, news(devices.approved, { asks: rotates, standing: bare }));
    const soft = given(shown, approvedBy(shown, 'ann'));
    assert.equal(given(soft, evidence(soft, { policy: rotates }, bare)).context.tier, 'trusted');
    assert.equal(given(soft, evidence(soft, { policy: rotates }, standing())).context.hardware_binding, null);
    for (const binding_id of [null, 'tpm-1']) {
      const other = standing({ binding_id, key_id: 'key-2' });
      assert.equal(given(soft, evidence(soft, { policy: rotates }, other)).context.tier, 'monitored');
    }
  });

  it('without stable hardware counts for nothing where policy demands it (AT-07)', () => {
    const strict = { ...asks, require_hardware_binding: true };
    const bare = standing({ binding_id: null });
    const shown = given(devices.approved, news(devices.approved, { standing: bare }));
    const soft = given(shown, approvedBy(shown, 'ann'));
    assert.equal(words(soft, news(soft, { asks: strict, standing: bare })), 'approved');
    assert.equal(given(soft, evidence(soft, { policy: strict }, bare)).context.tier, 'monitored');
  });

  it('that was asked for before a reset comes to nothing', () => {
    const late = evidence(devices.bound);
    let device = given(devices.bound, operator('device.reset'));
    assert.deepEqual(held(device), { key: null, hardware: null, generation: null, tier: 'observed' });
    assert.equal(words(device, late), 'pending');
    device = given(device, news(device, { presents: 'first', standing: standing() }));
    device = given(device, approvedBy(device, 'ann'));
    assert.equal(words(device, late), 'approved');
    assert.equal(given(device, late).context.tier, 'monitored');
  });

  it('leads nowhere once the device is retired, rejected, revoked or in need of more approvers', () => {
    const { context } = devices.trusted;
    const more = given(devices.trusted, news(devices.trusted, { tags: ['payments'], standing: standing() }));
    const gone: Device[] = [
      given(devices.trusted, operator('device.retire')),
      given(more, read(more, { state: 'rejected', rejected_by: 'ann' })),
      given(devices.trusted, news(devices.trusted, { revoked: ['first'], standing: standing() })),
      more,
    ];
    for (const device of gone) {
      assert.notEqual(device.context.tier, 'trusted', device.value);
      const { calls } = take(deviceActor, device, news(device, { standing: standing({ generation: 7 }) }));
      assert.ok(!calls.some(({ name }) => name === 'evidence.verify'), device.value);
      const late = given(device, { ...evidence(device), epoch: device.context.epoch });
      assert.notEqual(late.context.tier, 'trusted', device.value);
    }
    assert.equal(context.tier, 'trusted');
  });

  it('is confirmed no more when nobody is asked for it', () => {
    const silent = news(devices.trusted, { standing: null });
    assert.equal(words(devices.trusted, silent), 'approved: +device.trust.updated');
    assert.deepEqual(held(given(devices.trusted, silent)), bound);
  });

  it('is asked for again when people have approved another certificate, which leaves trust as it was', () => {
    const rotating = given(devices.trusted, news(devices.trusted, { presents: 'second', standing: standing() }));
    const rotated = given(rotating, approvedBy(rotating, 'ann'));
    assert.deepEqual(held(rotated), trusted);
    const shown = news(devices.trusted, {
      presents: 'second',
      standing: standing({ key_id: 'key-2', binding_id: 'tpm-2' }),
    });
    const other = given(devices.trusted, shown);
    assert.deepEqual(held(given(other, approvedBy(other, 'ann'))), { ...bound, key: 'key-2', hardware: 'tpm-2' });
  });
});

describe('what the first version wrote', () => {
  it('is taken in as bound to nothing', () => {
    const old = JSON.parse(JSON.stringify(devices.approved)) as { value: string; context: Record<string, unknown> };
    for (const name of [
      'attestation_provider',
      'attestation_key',
      'hardware_binding',
      'attested_generation',
      'disputed_generation',
      'rejected_keys',
      'asks_for_evidence',
    ])
      delete old.context[name];
    const { earlier } = deviceActor;
    assert.ok(earlier);
    assert.deepEqual(earlier.upgrade(old as unknown as Device), devices.approved);
    const row = deviceActor.project(old as unknown as Device);
    assert.ok(row.kind === 'device');
    assert.equal(row.row.attestation_key, null);
    // News without evidence adds nothing to such a context: its run goes on as its history has it.
    const fetched = news(old as unknown as Device, { presents: null });
    assert.equal('asks_for_evidence' in given(old as unknown as Device, fetched).context, false);
  });

  it('is described in words, with the key and the hardware, never with evidence', () => {
    assert.match(deviceActor.describe(devices.approved), /bound to no attestation key/);
    assert.match(
      deviceActor.describe(devices.bound),
      /attestation key `key-1`, hardware `tpm-1`, no evidence confirmed/,
    );
    assert.match(deviceActor.describe(devices.trusted), /evidence of generation 1 confirmed/);
    const failed = standing({ state: 'failed', code: 'attestation.failed', detail: 'PCR 7 is not an approved value' });
    const heard = given(devices.trusted, news(devices.trusted, { standing: failed }));
    assert.match(deviceActor.describe(heard), /evidence failed: PCR 7 is not an approved value/);
  });

  it('is described as revoked once its certificate is, whatever the tier of the row (RV-02)', () => {
    assert.doesNotMatch(deviceActor.describe(devices.trusted), /revoked/);
    const heard = given(devices.trusted, news(devices.trusted, { revoked: ['first'] }));
    assert.match(
      deviceActor.describe(heard),
      /is \*\*approved\*\*, tier at most \*\*revoked\*\*[^]*`[^`]+`, revoked: it is refused for ever/,
    );
  });
});

// Clocks that are wrong: a process of the API whose clock is off and jumps, beside one whose clock is right, and evidence of
// devices whose clocks are.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { globSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { createTransport, type Transport } from '#client/node-transport.ts';
import { makeSignedMeasurement } from '#protocols/signed-measurement.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { requires } from '#tests/harness/requires.ts';
import { startSecondApi, type SecondApi } from '#tests/harness/second-api.ts';
import { startStack, type Answer, type Stack, type TestDevice } from '#tests/harness/stack.ts';

const skip = requires('faketime');
const good = '00'.repeat(32);

describe('clocks that are off', { skip }, () => {
  const t = cleanupAfterAll();
  const { privateKey } = generateKeyPairSync('ed25519');
  let stack: Stack;
  let skewed: SecondApi;
  let transport: Transport;
  let device: TestDevice;
  let setClock: (offset: string) => Promise<void>;
  let counter = 0;
  let nonce: string | null = null;

  before(
    async () => {
      stack = await startStack(t, {
        SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL: 'false',
        SENTINEL_ATTESTATION_PROVIDER: 'signed_measurement_v1',
        SENTINEL_ATTESTATION_REQUIRED: 'true',
        SENTINEL_ATTESTATION_PCR_BASELINES_JSON: JSON.stringify({ sha256: { 0: [good] } }),
      });
      const folder = await mkdtemp(join(tmpdir(), 'sentinel-clock-'));
      t.after(() => rm(folder, { recursive: true, force: true }));
      const file = join(folder, 'clock');
      // At once, since it is read at every look at the clock.
      setClock = async (offset) => {
        await writeFile(`${file}.new`, offset);
        await rename(`${file}.new`, file);
      };
      await setClock('+0');
      const [library = ''] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');
      skewed = await startSecondApi(t, stack, {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        // As when somebody sets the clock: what counts intervals goes on.
        DONT_FAKE_MONOTONIC: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      });
      device = await stack.device('clocked');
      const { certificatePem: certificate, keyPem: key } = device.certificate;
      transport = createTransport({ ca: stack.ca.caCertificatePem, identity: { certificate, key } });
      t.after(() => transport.close());
    },
    { timeout: 170_000 },
  );

  const evidence = (measuredAt: Date): Record<string, unknown> =>
    nonce === null
      ? {}
      : {
          attestation: makeSignedMeasurement({
            deviceId: device.id,
            nonce,
            measuredAt,
            pcrs: { sha256: { 0: good } },
            privateKey,
          }),
        };

  const heard = <A extends Pick<Answer, 'status' | 'body'>>(answer: A): A => {
    const challenge = answer.body['attestation_challenge'] as { nonce: string } | null | undefined;
    nonce = challenge?.nonce ?? nonce;
    return answer;
  };

  async function beat(measuredAt = new Date()): Promise<Answer> {
    return heard(await device.heartbeat((counter += 1), evidence(measuredAt)));
  }

  async function send(path: string, init: { token?: string; json?: unknown } = {}) {
    const answer = await transport.fetch(`${skewed.url}${path}`, {
      method: init.json === undefined ? 'GET' : 'POST',
      headers: {
        ...(init.json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(init.token === undefined ? {} : { authorization: `Bearer ${init.token}` }),
      },
      ...(init.json === undefined ? {} : { body: JSON.stringify(init.json) }),
      redirect: 'error',
      signal: AbortSignal.timeout(20_000),
    });
    return { status: answer.status, body: JSON.parse(await answer.text()) as Record<string, unknown> };
  }

  async function beatSkewed() {
    const json = { device_id: device.id, heartbeat_counter: (counter += 1), ...evidence(new Date()) };
    return heard(await send('/api/heartbeat', { json }));
  }

  it('lead to a verdict each time, and to no failure, whether an hour before or behind, or jumping (FT-07)', async () => {
    const first = await beat();
    assert.ok([200, 202].includes(first.status), JSON.stringify(first.body));
    assert.equal((await beatSkewed()).status, 200);
    const token = await stack.token('ann');
    const expected: Record<string, readonly unknown[]> = {
      '+1h': ['attestation.stale', 'attestation.nonce_unknown'],
      '-1h': ['certificate.not_yet_valid'],
      '+30m': ['attestation.stale', 'attestation.nonce_unknown'],
      '-5s': [undefined],
      '+0': [undefined],
    };
    for (const [offset, codes] of Object.entries(expected)) {
      await setClock(offset);
      const { status, body } = await beatSkewed();
      assert.ok(codes.includes(body['code']), `${offset}: ${status} ${JSON.stringify(body)}`);
      const me = await send('/api/admin/me', { token });
      assert.ok([200, 401].includes(me.status), `${offset}: ${me.status} ${JSON.stringify(me.body)}`);
      assert.equal((await send('/api/health/live')).status, 200, offset);
      // The other process and the store are not led astray: counters go on, and used ones stay used.
      const right = await beat();
      assert.ok(
        [200, 403].includes(right.status) && right.body['code'] !== 'internal.error',
        JSON.stringify(right.body),
      );
      const replay = await device.heartbeat(1);
      assert.equal(replay.body['code'], 'heartbeat.replayed', offset);
    }
    assert.equal((await beatSkewed()).status, 200);
    assert.equal((await beat()).status, 200);
    assert.doesNotMatch(skewed.log(), /internal\.error|uncaught|unhandled/i);
  });

  it('of devices are refused as what they are, before or behind, and the right time is accepted again (FT-07, AT-04)', async () => {
    const hour = 3_600_000;
    assert.equal((await beat(new Date(Date.now() - hour))).body['code'], 'attestation.stale');
    const ahead = await beat(new Date(Date.now() + hour));
    assert.equal(ahead.body['code'], 'attestation.failed');
    assert.equal((ahead.body['facts'] as { reason?: string }).reason, 'clock_ahead');
    assert.equal((await beat()).status, 200);
  });
});

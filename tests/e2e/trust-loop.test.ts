// The product's main job on real parts: a device enrolls, people decide, heartbeats count once, and everything is on record.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import type { Client } from '#client/client.ts';
import { ApiProblem } from '#client/api-problem.ts';
import { createTransport } from '#client/node-transport.ts';
import type { Device } from '#contracts/http/devices.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack, type TestDevice } from '#tests/harness/stack.ts';

const hasCode = (code: string) => (error: unknown) => {
  assert.ok(error instanceof ApiProblem, String(error));
  assert.equal(error.code, code);
  return true;
};

describe('the trust loop', () => {
  const cleanup = cleanupAfterAll();
  let stack: Stack;
  let ann: Client;
  let bob: Client;
  let sam: Client;
  let vic: Client;

  before(
    async () => {
      stack = await startStack(cleanup, {
        SENTINEL_SENSITIVE_TAGS: 'payments',
        SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '5',
        SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: 'vpn',
      });
      [ann, bob, sam, vic] = await Promise.all([stack.as('ann'), stack.as('bob'), stack.as('sam'), stack.as('vic')]);
    },
    { timeout: 180_000 },
  );
  after(() => {});

  /** As the owner of the database can: the trigger that keeps events as they are is out of the way for a moment. */
  async function rewriteActor(sequence: number, actorId: string): Promise<void> {
    const client = await stack.database.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SET LOCAL sentinel.project = 'default'`);
      await client.query('ALTER TABLE audit_event DISABLE TRIGGER USER');
      const change = `UPDATE audit_event SET actor_id = $2 WHERE project_id = 'default' AND sequence = $1`;
      assert.equal((await client.query(change, [sequence, actorId])).rowCount, 1);
      await client.query('ALTER TABLE audit_event ENABLE TRIGGER USER');
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  }

  async function reviewOf(id: string, kind = 'enrollment'): Promise<NonNullable<Device['pending_review']>> {
    return eventually(async () => {
      const { pending_review } = await vic.devices.get(id);
      if (pending_review?.kind !== kind) return null;
      const approval = await vic.approvals.get(pending_review.id).catch(() => null);
      return approval?.state === 'open' ? pending_review : null;
    }, `a ${kind} review of ${id}`);
  }

  async function enrolled(id: string, body: Record<string, unknown> = {}): Promise<TestDevice> {
    const device = await stack.device(id);
    assert.equal((await device.heartbeat(1, body)).status, 202);
    const { digest } = await reviewOf(id);
    await ann.devices.identityReview(id, { decision: 'approve', digest });
    return device;
  }

  test('a device enrolls over mutual TLS, is pinned by its first approval, and its heartbeats are accepted (HB-01, EN-04)', async () => {
    const device = await stack.device('laptop-1');
    const first = await device.heartbeat(1);
    assert.equal(first.status, 202);
    assert.equal(first.body['status'], 'pending');
    assert.equal(first.body['trust_tier'], 'observed');

    const review = await reviewOf('laptop-1');
    const approved = await ann.devices.identityReview('laptop-1', {
      decision: 'approve',
      digest: review.digest,
      reason: 'seen in the office',
    });
    assert.equal(approved.approval_state, 'approved');
    assert.equal(approved.trust_tier, 'monitored');
    assert.equal(approved.pending_review, null);
    assert.equal(
      approved.certificate?.fingerprint_sha256,
      parseCertificate(device.certificate.certificatePem).fingerprintSha256,
    );

    const accepted = await device.heartbeat(1);
    assert.equal(accepted.status, 200, JSON.stringify(accepted.body));
    assert.equal(accepted.body['next_heartbeat_seconds'], 5);
    const seen = await vic.devices.get('laptop-1');
    assert.equal(seen.liveness, 'online');
    assert.equal(seen.heartbeat_counter, 1);

    const events = await eventually(async () => {
      const { items } = await vic.audit.list({ subject_kind: 'device', subject_id: 'laptop-1', order: 'oldest' });
      return items.some((item) => item.action === 'device.identity.approved') ? items : null;
    }, 'sealed audit events');
    assert.ok(events.some((item) => item.action === 'device.identity.pending'));
    assert.ok(events.some((item) => item.action === 'device.trust.updated'));
    const history = await vic.devices.history('laptop-1');
    assert.ok(history.items.some((entry) => entry.from_state === 'pending' && entry.to_state === 'approved'));
  });

  test('another system believes a trust assertion by the published keys, also of before a rotation (TF-04, TF-05, TF-06)', async (t) => {
    const device = await enrolled('asserted-1');
    assert.equal((await device.heartbeat(1)).status, 200);
    const root = await stack.as('root');
    const transport = createTransport({ ca: await readFile(stack.instance.ca_file, 'utf8') });
    t.after(() => transport.close());
    // As another system does it, which has nothing of ours but the address and the authority of its TLS.
    const issuer = new URL(stack.instance.console_url).origin;
    const fetchKeys = (url: string, init: { readonly signal: AbortSignal }) =>
      transport.fetch(url, { method: 'GET', headers: {}, redirect: 'error', signal: init.signal });
    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', stack.instance.api_url), {
      [customFetch]: fetchKeys as never,
      cooldownDuration: 0,
    });
    const verify = (assertion: string) =>
      jwtVerify(assertion, keys, {
        issuer,
        audience: 'vpn',
        algorithms: ['EdDSA'],
        typ: 'trust-assertion+jwt',
        clockTolerance: 30,
      });
    const mint = () => root.devices.trustAssertion('asserted-1', { audience: 'vpn' });

    const first = await mint();
    const { payload } = await verify(first.assertion);
    assert.deepEqual(
      [payload.sub, payload['trust_tier'], payload['approval_state'], payload['certificate_fingerprint_sha256']],
      [
        'default/asserted-1',
        'monitored',
        'approved',
        parseCertificate(device.certificate.certificatePem).fingerprintSha256,
      ],
    );

    const file = join(stack.home, 'secrets', 'trust-assertion-signing-key.pem');
    const { privateKey } = generateKeyPairSync('ed25519');
    await writeFile(`${file}.new`, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await rename(`${file}.new`, file);
    const published = async () => {
      const { body } = await stack.request('/.well-known/jwks.json');
      return (body['keys'] as { kid: string }[]).map(({ kid }) => kid);
    };
    await eventually(async () => (await published()).length === 2, 'the new key beside the old one');
    const second = await mint();
    assert.notEqual(second.key_id, first.key_id);
    await keys.reload();
    for (const { assertion } of [first, second]) await verify(assertion);
    assert.deepEqual(await published(), [second.key_id, first.key_id]);

    await sam.devices.revoke('asserted-1', { reason: 'lost' });
    const third = await verify((await mint()).assertion);
    assert.equal(third.payload['trust_tier'], 'revoked');

    await assert.rejects(
      root.devices.trustAssertion('asserted-1', { audience: 'mail' }),
      hasCode('assertion.audience_refused'),
    );
    await assert.rejects(sam.devices.trustAssertion('asserted-1', { audience: 'vpn' }), hasCode('auth.forbidden'));
    const events = await eventually(async () => {
      const { items } = await vic.audit.list({ subject_kind: 'device', subject_id: 'asserted-1', limit: 100 });
      return items.some(({ action }) => action === 'trust_assertion.refused') ? items : null;
    }, 'the refusal on record');
    const minted = events.filter(({ action }) => action === 'trust_assertion.minted');
    assert.ok(minted.some(({ details }) => details['assertion_id'] === first.assertion_id));
    assert.ok(!JSON.stringify(events).includes(first.assertion.split('.')[2] ?? ''));
  });

  test('a counter that was used is refused from then on, until an operator resets the device (HB-07, HB-08)', async () => {
    const device = await enrolled('laptop-2');
    assert.equal((await device.heartbeat(7)).status, 200);
    for (const counter of [7, 6, 1]) {
      const replayed = await device.heartbeat(counter);
      assert.equal(replayed.status, 409);
      assert.equal(replayed.body['code'], 'heartbeat.replayed');
    }
    assert.equal((await device.heartbeat(8)).status, 200);

    const reset = await sam.devices.reset('laptop-2', { reason: 'agent state lost' });
    assert.equal(reset.approval_state, 'pending');
    assert.equal(reset.certificate, null);
    assert.equal((await device.heartbeat(1)).status, 202);
    const { digest } = await reviewOf('laptop-2');
    await assert.rejects(
      sam.devices.identityReview('laptop-2', { decision: 'approve', digest }),
      hasCode('review.own_request'),
    );
    await ann.devices.identityReview('laptop-2', { decision: 'approve', digest });
    assert.equal((await device.heartbeat(1)).status, 200);
  });

  test('two heartbeats with one counter at the same moment: one wins (HB-07)', async () => {
    const device = await enrolled('laptop-3');
    const twin = await stack.device('laptop-3', device.certificate);
    for (const counter of [1, 2, 3]) {
      const answers = await Promise.all([
        device.heartbeat(counter),
        twin.heartbeat(counter),
        device.heartbeat(counter),
        twin.heartbeat(counter),
      ]);
      assert.deepEqual(
        answers.map((answer) => answer.status).toSorted((a, b) => a - b),
        [200, 409, 409, 409],
      );
    }
  });

  test('a sensitive device needs two people, and four votes of one at once count as one (EN-06, HB-10, SA-15)', async () => {
    const device = await stack.device('till-1');
    assert.equal((await device.heartbeat(1, { tags: ['payments', 'shop'] })).status, 202);
    const { id, digest, required } = await reviewOf('till-1');
    assert.equal(required, 2);

    const votes = await Promise.allSettled(
      [1, 2, 3, 4].map(() => ann.devices.identityReview('till-1', { decision: 'approve', digest })),
    );
    assert.equal(votes.filter((vote) => vote.status === 'fulfilled').length, 1);
    for (const vote of votes) if (vote.status === 'rejected') hasCode('review.already_voted')(vote.reason);
    assert.equal((await vic.devices.get('till-1')).approval_state, 'pending');

    await assert.rejects(
      vic.devices.identityReview('till-1', { decision: 'approve', digest }),
      hasCode('auth.forbidden'),
    );
    await assert.rejects(
      bob.devices.identityReview('till-1', { decision: 'approve', digest: '0'.repeat(64) }),
      hasCode('review.changed'),
    );
    const approved = await bob.devices.identityReview('till-1', { decision: 'approve', digest });
    assert.equal(approved.approval_state, 'approved');
    const { votes: kept } = await vic.approvals.get(id);
    assert.deepEqual(kept.map((vote) => vote.by).toSorted(), ['ann', 'bob']);
    await assert.rejects(sam.approvals.review(id, { decision: 'approve' }), hasCode('review.closed'));
  });

  test('a rejected enrollment is refused until reset (EN-04)', async () => {
    const device = await stack.device('stranger-1');
    await device.heartbeat(1);
    const { digest } = await reviewOf('stranger-1');
    const rejected = await ann.devices.identityReview('stranger-1', { decision: 'reject', digest, reason: 'not ours' });
    assert.equal(rejected.approval_state, 'rejected');
    assert.equal(rejected.trust_tier, 'restricted');
    const refused = await device.heartbeat(1);
    assert.equal(refused.status, 403);
    assert.equal(refused.body['code'], 'device.rejected');
    await assert.rejects(
      ann.devices.identityReview('stranger-1', { decision: 'approve' }),
      hasCode('device.no_pending_review'),
    );
    await sam.devices.reset('stranger-1');
    assert.equal((await device.heartbeat(1)).status, 202);
  });

  test('another certificate opens a rotation review; the pinned one goes on until it is approved, and is refused afterwards (HB-06, EN-03)', async () => {
    const device = await enrolled('laptop-4');
    assert.equal((await device.heartbeat(1)).status, 200);
    const renewed = await stack.device('laptop-4');
    assert.equal((await renewed.heartbeat(2)).status, 202);
    const third = await stack.device('laptop-4');
    const refused = await third.heartbeat(2);
    assert.deepEqual([refused.status, refused.body['code']], [403, 'device.other_certificate_pending']);

    const { digest } = await reviewOf('laptop-4', 'rotation');
    assert.equal((await device.heartbeat(2)).status, 200);
    const approved = await ann.devices.identityReview('laptop-4', { decision: 'approve', digest });
    assert.equal(
      approved.certificate?.fingerprint_sha256,
      parseCertificate(renewed.certificate.certificatePem).fingerprintSha256,
    );
    assert.equal((await renewed.heartbeat(3)).status, 200);
    assert.equal((await device.heartbeat(4)).status, 403);
  });

  test('a revoked certificate never reports again, also after a reset; a new one opens a review (RV-01, SS-04)', async () => {
    const device = await enrolled('laptop-5');
    assert.equal((await device.heartbeat(1)).status, 200);
    const { token_version } = await vic.devices.get('laptop-5');
    await assert.rejects(ann.devices.revoke('laptop-5'), hasCode('auth.forbidden'));
    const revoked = await sam.devices.revoke('laptop-5', { reason: 'stolen' });
    assert.equal(revoked.trust_tier, 'revoked');
    const refused = await device.heartbeat(2);
    assert.deepEqual([refused.status, refused.body['code']], [403, 'certificate.revoked']);
    await eventually(
      async () => (await vic.devices.get('laptop-5')).token_version > token_version,
      'a raised token version',
    );

    const renewed = await stack.device('laptop-5');
    assert.equal((await renewed.heartbeat(2)).status, 202);
    await reviewOf('laptop-5', 'rotation');
    await sam.devices.reset('laptop-5');
    assert.equal((await device.heartbeat(3)).body['code'], 'certificate.revoked');
  });

  test('a retired device is refused', async () => {
    const device = await enrolled('laptop-6');
    const retired = await stack.as('olga').then((olga) => olga.devices.retire('laptop-6', { reason: 'sold' }));
    assert.equal(retired.retired, true);
    assert.equal((await device.heartbeat(1)).body['code'], 'device.retired');
    await assert.rejects(sam.devices.retire('laptop-6'), hasCode('device.already_retired'));
  });

  test('nothing that a device or person says stands in the open in Temporal', async () => {
    const device = await enrolled('canary-1', {
      hostname: 'canary-hostname.example',
      posture: { disk: 'canary-posture' },
    });
    assert.equal((await device.heartbeat(1)).status, 200);
    const { workflow } = await vic.devices.get('canary-1');
    const { Client: Temporal, Connection } = await import('@temporalio/client');
    const connection = await Connection.connect({ address: stack.instance.temporal_address });
    try {
      const history = await new Temporal({ connection, namespace: stack.instance.temporal_namespace }).workflow
        .getHandle(workflow.id)
        .fetchHistory();
      const raw = Buffer.from(
        JSON.stringify(history, (_, value: unknown) =>
          value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
        ),
      );
      // The voter's name as JSON has it: three letters alone are found in random bytes now and then.
      for (const canary of ['canary-hostname', 'canary-posture', 'fingerprint_sha256', String.raw`\"ann\"`])
        assert.ok(!raw.includes(canary), `${canary} is readable in the history`);
    } finally {
      await connection.close();
    }
  });

  test('an actor whose workflow was terminated and started again goes on from its row', async () => {
    const device = await enrolled('phoenix-1');
    const { Client: Temporal, Connection } = await import('@temporalio/client');
    const connection = await Connection.connect({ address: stack.instance.temporal_address });
    try {
      const temporal = new Temporal({ connection, namespace: stack.instance.temporal_namespace });
      await temporal.workflow.getHandle('device/default/phoenix-1').terminate('a test');
    } finally {
      await connection.close();
    }
    const renewed = await stack.device('phoenix-1');
    assert.equal((await renewed.heartbeat(1)).status, 202);
    const { digest } = await reviewOf('phoenix-1', 'rotation');
    assert.equal((await vic.devices.get('phoenix-1')).approval_state, 'approved');
    await ann.devices.identityReview('phoenix-1', { decision: 'approve', digest });
    assert.equal((await renewed.heartbeat(1)).status, 200);
    assert.equal((await device.heartbeat(2)).status, 403);
  });

  test('the audit trail of all this is whole, and a changed row is found (AU-01, AU-02)', async () => {
    const whole = await vic.audit.integrity({ full: true });
    assert.deepEqual([whole.valid, whole.reason, whole.unsealed], [true, null, 0]);
    assert.ok(whole.head_sequence > 50);
    const { items } = await vic.audit.list({ order: 'oldest', limit: 500 });
    items.forEach((item, index) => {
      assert.equal(item.sequence, index + 1);
      assert.equal(item.previous_hash, index === 0 ? '0'.repeat(64) : items[index - 1]?.hash);
    });

    const [, , third] = items;
    assert.ok(third);
    await rewriteActor(3, 'somebody-else');
    const changed = await vic.audit.integrity({ full: true });
    assert.deepEqual([changed.valid, changed.first_broken_sequence], [false, 3]);
    await rewriteActor(3, third.actor.id);
    assert.equal((await vic.audit.integrity({ full: true })).valid, true);
  });

  test('heartbeats are answered while Temporal is down, and what was news arrives afterwards', async () => {
    const device = await enrolled('outage-1');
    assert.equal((await device.heartbeat(1)).status, 200);
    stack.kill('temporal', 'SIGSTOP');
    try {
      assert.equal((await device.heartbeat(2)).status, 200);
      const newcomer = await stack.device('outage-2');
      assert.equal((await newcomer.heartbeat(1)).status, 202);
      const revoked = await sam.devices.revoke('outage-1', { reason: 'lost' });
      assert.equal(revoked.trust_tier, 'revoked');
      assert.equal((await device.heartbeat(3)).body['code'], 'certificate.revoked');
    } finally {
      stack.kill('temporal', 'SIGCONT');
    }
    await reviewOf('outage-2');
  });

  test('after kill -9 of everything the next start goes on where it was', { timeout: 180_000 }, async () => {
    const device = await enrolled('survivor-1');
    assert.equal((await device.heartbeat(5)).status, 200);
    const waiting = await stack.device('survivor-2');
    assert.equal((await waiting.heartbeat(1)).status, 202);
    const { digest } = await reviewOf('survivor-2');

    await stack.killAndRestart();
    [ann, bob, sam, vic] = await Promise.all([stack.as('ann'), stack.as('bob'), stack.as('sam'), stack.as('vic')]);
    const again = await stack.device('survivor-1', device.certificate);
    assert.equal((await again.heartbeat(5)).body['code'], 'heartbeat.replayed');
    assert.equal((await again.heartbeat(6)).status, 200);
    await ann.devices.identityReview('survivor-2', { decision: 'approve', digest });
    assert.equal((await vic.audit.integrity({ full: true })).valid, true);
  });
});

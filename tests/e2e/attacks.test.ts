// Attacks on a whole installation with two API processes: replays, races, wrong certificates, and bodies that are too much.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { before, describe, it } from 'node:test';
import type { Client } from '#client/client.ts';
import type { AuditEvent } from '#contracts/http/audit.ts';
import { startAttacked, type Attacked, type Told } from '#tests/harness/attacked.ts';
import { attackBody, bodyAttacks, slowAttack } from '#tests/harness/body-attacks.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { findCanaries, formsOf } from '#tests/harness/canaries.ts';
import { hunt, marks, placesWithout } from '#tests/harness/canary-hunt.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { bodies, matrix } from '#tests/harness/routes.ts';
import { raceVotes } from '#tests/harness/vote-race.ts';
import { forgeAuthority, forgeLeaf } from '#tests/unit/protocols/certificate-forge.ts';

const dayMs = 86_400_000;

describe('an installation under attack', () => {
  const cleanup = cleanupAfterAll();
  let attacked: Attacked;
  before(
    async () => {
      attacked = await startAttacked(cleanup, {
        SENTINEL_MONITORING_BEARER_TOKEN: randomBytes(24).toString('base64url'),
        SENTINEL_TEMPORAL_OPAQUE_IDS: 'true',
        // All that can be logged.
        SENTINEL_LOG_LEVEL: 'debug',
      });
    },
    { timeout: 180_000 },
  );

  const beat = (device_id: string, heartbeat_counter: number) => ({
    device_id,
    heartbeat_counter,
    agent_version: '1.0.0',
    hostname: 'host',
    platform: 'linux',
  });

  async function auditOf(vic: Client, query: { subject_id: string; action?: string }): Promise<AuditEvent[]> {
    const found: AuditEvent[] = [];
    let cursor: string | undefined;
    do {
      const page = await vic.audit.list({ ...query, order: 'oldest', limit: 500, ...(cursor ? { cursor } : {}) });
      found.push(...page.items);
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    return found;
  }

  it('accepts each of 1 000 recorded heartbeats once, whichever process hears it again (SA-01)', async () => {
    const { urls, enrolled, connect } = attacked;
    const { certificate } = await enrolled('recorded');
    const device = await connect(certificate);
    const recorded: string[] = [];
    for (let counter = 1; counter <= 1000; counter += 1) {
      const body = JSON.stringify(beat('recorded', counter));
      const answer = await device.send(`${urls[counter % 2]}/api/heartbeat`, asIs(body));
      assert.equal(answer.status, 200, answer.text);
      recorded.push(body);
    }
    // The same bytes with the same key, to both; nothing of it may count.
    let refused = 0;
    for (const url of urls) {
      for (let index = 0; index < recorded.length; index += 4) {
        const answers = await Promise.all(
          recorded.slice(index, index + 4).map((body) => device.send(`${url}/api/heartbeat`, asIs(body))),
        );
        for (const answer of answers) {
          if (answer.status === 429) continue;
          assert.equal(`${answer.status} ${answer.code}`, '409 heartbeat.replayed');
          refused += 1;
        }
      }
    }
    assert.ok(refused >= 1900, `${refused} of 2 000 were judged`);
    assert.equal((await device.send(`${urls[0]}/api/heartbeat`, { json: beat('recorded', 1001) })).status, 200);
    const shown = await (await attacked.stack.as('vic')).devices.get('recorded');
    assert.equal(shown.heartbeat_counter, 1001);
    replays = refused;
  });
  let replays = 0;

  it('lets one of two win that carry one counter to two processes at once (SA-01)', async () => {
    const { urls, enrolled, connect } = attacked;
    const { certificate } = await enrolled('paired');
    const [one, other] = await Promise.all([connect(certificate), connect(certificate)]);
    for (let counter = 1; counter <= 150; counter += 1) {
      const json = beat('paired', counter);
      const answers = await Promise.all([
        one.send(`${urls[0]}/api/heartbeat`, { json }),
        other.send(`${urls[1]}/api/heartbeat`, { json }),
        one.send(`${urls[1]}/api/heartbeat`, { json }),
      ]);
      assert.deepEqual(
        answers.map(({ status, code }) => `${status} ${code}`).toSorted(),
        ['200 ', '409 heartbeat.replayed', '409 heartbeat.replayed'],
        `counter ${counter}`,
      );
    }
  });

  it('counts each of many racing votes once, and loses none', async (t) => {
    const { stack, urls, voters, tokenOf, openApprovals } = attacked;
    const tokens = new Map<string, string>();
    for (const name of [...voters.keys(), 'vic']) tokens.set(name, await tokenOf(name));
    const result = await raceVotes({
      stack,
      urls,
      approvals: await openApprovals('raced', 8),
      voters: tokens,
      mayNot: new Set(['vic']),
      votes: 1000,
      seed: 1,
    });
    t.diagnostic(JSON.stringify(result));
    assert.ok(result.counted >= 20);
    assert.ok((result.answers['409'] ?? 0) > 0 && (result.answers['403'] ?? 0) > 0);
  });

  it('gives approvals and revocations that run at once one history, in which a revocation wins (SA-16)', async () => {
    const { stack, urls, enrolled, connect, reviewOf, tokenOf } = attacked;
    const tokens = { ann: await tokenOf('ann'), bob: await tokenOf('bob'), sam: await tokenOf('sam') };
    const people = await connect();
    interface Done extends Told {
      readonly by: keyof typeof tokens;
      readonly began: number;
      readonly ended: number;
    }
    const rounds = 6;
    for (let round = 0; round < rounds; round += 1) {
      const id = `contested-${round}`;
      await enrolled(id);
      const next = await stack.ca.issueDevice({ deviceId: id });
      const newcomer = await connect(next);
      assert.equal((await newcomer.send(`${urls[0]}/api/heartbeat`, { json: beat(id, 1) })).status, 202);
      const review = await reviewOf(id, 'rotation');
      const fingerprint_sha256 = fingerprintOf(next.certificatePem);

      const act = async (by: keyof typeof tokens, path: string, json: object, after: number): Promise<Done> => {
        await pause(after);
        const began = performance.now();
        const headers = { authorization: `Bearer ${tokens[by]}`, 'idempotency-key': randomUUID() };
        let told = await people.send(`${urls[round % 2]}${path}`, { json, headers });
        // In the moment in which it closes, nobody can say yet that it has.
        for (let again = 0; told.status === 503 && again < 50; again += 1) {
          await pause(100);
          told = await people.send(`${urls[round % 2]}${path}`, { json, headers });
        }
        return { ...told, by, began, ended: performance.now() };
      };
      const approve = { decision: 'approve', digest: review.digest };
      // From one after the other to all at once, in both orders.
      const step = (round - rounds / 2) * 25;
      const done = await Promise.all([
        act('ann', `/api/approvals/${review.id}/review`, approve, Math.max(0, step)),
        act('bob', `/api/devices/${id}/identity-review`, approve, Math.max(0, step)),
        act('sam', `/api/devices/${id}/certificate/revoke`, { fingerprint_sha256 }, Math.max(0, -step)),
      ]);
      const revoked = done.find(({ by }) => by === 'sam');
      assert.equal(revoked?.status, 200, revoked?.text);
      for (const { status, code, text } of done)
        assert.match(
          `${status} ${code}`,
          /^(200 |409 (review\.(closed|already_voted)|device\.no_pending_review)|403 certificate\.revoked)$/,
          text,
        );

      // Revoked is revoked, whoever approved before or after.
      const answer = await newcomer.send(`${urls[1]}/api/heartbeat`, { json: beat(id, 9) });
      assert.equal(answer.code, 'certificate.revoked');
      const device = await (await stack.as('vic')).devices.get(id);
      if (device.certificate?.fingerprint_sha256 === fingerprint_sha256) assert.equal(device.trust_tier, 'revoked');

      // One history: every decision starts from where the one before it ended.
      const client = await stack.as('vic');
      const items = await eventually(async () => {
        const found = (await client.devices.history(id, { limit: 100 })).items.toReversed();
        return found.length > 0 ? found : null;
      }, `the history of ${id}`);
      for (const [index, entry] of items.entries()) {
        const before = items[index - 1];
        if (before === undefined) continue;
        assert.equal(entry.from_state, before.to_state, `revision ${entry.revision} of ${id}`);
        assert.equal(entry.revision, before.revision + 1);
      }

      // What ended before something else began stands before it on record.
      const events = await eventually(async () => {
        const found = [
          ...(await auditOf(client, { subject_id: id })),
          ...(await auditOf(client, { subject_id: review.id })),
        ];
        const names = new Set(found.map(({ actor }) => actor.id));
        return done.every(({ by, status }) => status !== 200 || names.has(by)) ? found : null;
      }, `the events about ${id}`);
      const placeOf = (by: string): number => {
        const own = events.filter(({ actor, action }) => actor.id === by && action !== 'device.identity.approved');
        return Math.min(...own.map(({ sequence }) => sequence));
      };
      const counted = done.filter(({ status }) => status === 200);
      for (const first of counted)
        for (const second of counted)
          if (first.ended < second.began)
            assert.ok(placeOf(first.by) < placeOf(second.by), `${first.by} before ${second.by} in ${id}`);
      await newcomer.close();
    }
    const report = await (await stack.as('vic')).audit.integrity({ full: true });
    assert.equal(report.valid, true, report.reason ?? '');
  });

  it('asks every route for who it is, whatever certificate comes with it, over real TLS (SA-06)', async () => {
    const { stack, urls, enrolled, connect, tokenOf } = attacked;
    const at = (days: number): Date => new Date(Date.now() + days * dayMs);
    const known = await enrolled('known');
    const lost = await enrolled('lost');
    const sam = await stack.as('sam');
    await sam.devices.revoke('lost', { reason: 'lost' });
    const foreign = await forgeAuthority('Foreign CA', { notBefore: at(-1), notAfter: at(9) });
    const named = { subject: [{ CN: [{ utf8String: 'known' }] }], notBefore: at(-1), notAfter: at(9) };
    /** Who sends it, and what its heartbeat as `known` is answered. */
    const senders: readonly (readonly [string, IssuedCertificate | undefined, string])[] = [
      ['no certificate', undefined, '401 certificate.missing'],
      ['one of another authority', await forgeLeaf(foreign, named), '401 certificate.untrusted'],
      [
        'one that has expired',
        await stack.ca.issueDevice({ deviceId: 'known', notBefore: at(-9), notAfter: at(-1) }),
        '403 certificate.expired',
      ],
      ['that of another device', lost.certificate, '403 certificate.name_mismatch'],
      ['that of the device', known.certificate, '200 '],
    ];
    for (const [what, certificate, heartbeat] of senders) {
      const sender = await connect(certificate);
      for (const [route, [nobody]] of Object.entries(matrix)) {
        if (nobody !== 401 || route === 'POST /api/heartbeat') continue;
        const [method = '', pattern = ''] = route.split(' ');
        const answer = await sender.send(`${urls[0]}${pattern.replaceAll(/:\w+|\*/g, 'known')}`, {
          method,
          headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
          ...(method === 'GET' ? {} : { body: JSON.stringify(bodies[route] ?? {}) }),
        });
        assert.equal(`${answer.status} ${answer.code}`, '401 auth.required', `${route} with ${what}`);
      }
      const answer = await sender.send(`${urls[0]}/api/heartbeat`, { json: beat('known', 1) });
      assert.equal(`${answer.status} ${answer.code}`, heartbeat, what);
      await sender.close();
    }
    const revoked = await (await connect(lost.certificate)).send(`${urls[1]}/api/heartbeat`, { json: beat('lost', 1) });
    assert.equal(`${revoked.status} ${revoked.code}`, '403 certificate.revoked');
    // Whoever may do everything as a person is no device.
    const withoutCertificate = await connect();
    for (const person of ['vic', 'olga', 'ann', 'sam', 'root']) {
      const headers = { authorization: `Bearer ${await tokenOf(person)}` };
      const answer = await withoutCertificate.send(`${urls[0]}/api/heartbeat`, { json: beat('known', 2), headers });
      assert.equal(`${answer.status} ${answer.code}`, '401 certificate.missing', person);
    }
  });

  it('takes none of the bodies that are too much, while nobody else notices (SA-21, SA-25)', async (t) => {
    const { stack, urls, enrolled, connect } = attacked;
    const { certificate } = await enrolled('steady');
    const ca = await readFile(stack.instance.ca_file, 'utf8');
    const device = await connect(certificate);
    const pid = stack.instance.pids['api'] ?? 0;
    const before = await residentMiB(pid);
    let [highest, beats, attacking] = [before, 0, true];
    const steady = (async () => {
      while (attacking) {
        beats += 1;
        const answer = await device.send(`${urls[0]}/api/heartbeat`, { json: beat('steady', beats) });
        assert.equal(answer.status, 200, answer.text);
        highest = Math.max(highest, await residentMiB(pid));
        await pause(50);
      }
    })();
    const targets = [
      { url: `${urls[0]}/api/heartbeat`, ca, identity: certificate },
      { url: `${urls[0]}/api/admin/login`, ca },
    ];
    try {
      const slow = targets.map((target) => attackBody(target, slowAttack));
      for (const [what, attack] of Object.entries(bodyAttacks)) {
        for (const target of targets) {
          const { answer, sentBytes } = await attackBody(target, attack);
          assert.match(answer, attack.expected, `${what} to ${target.url}`);
          // What the buffers of both ends hold is sent before anybody can say no.
          assert.ok(sentBytes < 32 * 1024 * 1024, `${what}: ${sentBytes} bytes were taken`);
        }
      }
      for (const { answer, sentBytes } of await Promise.all(slow)) {
        assert.match(answer, slowAttack.expected);
        assert.ok(sentBytes < 60 * 6, 'a slow sender is not waited for longer than a minute');
      }
    } finally {
      attacking = false;
      await steady;
    }
    t.diagnostic(`${beats} heartbeats meanwhile; ${before} MiB before, ${highest} MiB at most`);
    assert.ok(beats >= 20);
    assert.ok(highest - before < 160, `${before} MiB grew to ${highest} MiB`);
    const shown = await (await stack.as('vic')).devices.get('steady');
    assert.equal(shown.heartbeat_counter, beats);
  });

  it('leaves no secret in logs, histories, records, answers or anything that programs say (SA-26)', async (t) => {
    const { secrets, said, echoed, places, records } = await hunt(cleanup, attacked);
    assert.deepEqual(placesWithout(places, marks), [], 'every place was really looked at');
    assert.ok([...places.keys()].some((name) => name.endsWith('temporal.sqlite')));
    assert.ok([...places.keys()].some((name) => name.endsWith('api.log')));
    t.diagnostic(`${secrets.size} secrets, ${places.size} places, ${totalMiB(places)} MiB`);
    assert.deepEqual(findCanaries(secrets, places), []);
    // What is on record on purpose is neither logged nor readable in Temporal, its names included.
    const elsewhere = new Map([...places].filter(([name]) => !records.has(name)));
    assert.deepEqual(findCanaries(said, elsewhere), []);
    assert.deepEqual(findCanaries(echoed, new Map([...places].filter(([name]) => name !== 'answers'))), []);
    // It would have been found: in the records it is, and so would every form of it be in a log.
    const recorded = new Map([...places].filter(([name]) => name === 'the database'));
    assert.equal(findCanaries(said, recorded).length, said.size);
    const [secret = ''] = secrets.values();
    for (const form of formsOf(secret)) {
      const planted = new Map([['a log', Buffer.concat([...places.values()].slice(-1).concat(Buffer.from(form)))]]);
      assert.deepEqual(findCanaries(new Map([['planted', secret]]), planted), ['planted in a log'], form);
    }
  });

  it(
    'writes a flood of one refusal down as a row a minute, with how many there were (SA-01)',
    { timeout: 120_000 },
    async () => {
      await attacked.second.stop();
      // Signed in once: it is asked for again and again.
      const vic = await attacked.stack.as('vic');
      const events = await eventually(
        async () => {
          const found = (await auditOf(vic, { subject_id: 'recorded', action: 'heartbeat.refused' })).filter(
            ({ details }) => details['code'] === 'heartbeat.replayed',
          );
          const sum = found.reduce((total, { details }) => total + Number(details['count']), 0);
          return sum >= replays ? found : null;
        },
        'every replay on record',
        100_000,
      );
      assert.ok(events.length <= 8, `${events.length} rows`);
      assert.ok(events.every(({ outcome }) => outcome === 'refused'));
      assert.equal(
        events.reduce((total, { details }) => total + Number(details['count']), 0),
        replays,
      );
    },
  );
});

const asIs = (body: string) => ({ method: 'POST', body, headers: { 'content-type': 'application/json' } }) as const;

function totalMiB(places: ReadonlyMap<string, Buffer>): number {
  return Math.round([...places.values()].reduce((sum, { length }) => sum + length, 0) / 1024 ** 2);
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024);
}

function fingerprintOf(pem: string): string {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return createHash('sha256').update(der).digest('hex');
}

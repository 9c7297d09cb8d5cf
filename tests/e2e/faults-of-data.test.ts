// The trail cannot be written, and the database is put back to an earlier time: what a real installation does, and what its operator does.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Client } from '#client/client.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { repository } from '#tests/harness/npm-start.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { people, startStack, type Answer, type Person, type Stack, type TestDevice } from '#tests/harness/stack.ts';

/** What a route needs to do its work: who asks, and about what. The body is read when it is sent. */
interface Mutation {
  readonly by: Person | 'nobody';
  readonly path: () => string;
  readonly body?: () => unknown;
}

type Method = 'POST' | 'PUT' | 'DELETE';

/** They change nothing, whatever their method. */
const readers = ['POST /api/temporal/codec/decode'];
/** Liveness is no event of the trail: devices are answered as always. */
const liveness = 'POST /api/heartbeat';

describe('faults of data', () => {
  const cleanup = cleanupAfterAll();
  const devices = new Map<string, TestDevice>();
  const tokens = new Map<Person, string>();
  let stack: Stack;
  let ann: Client;
  let sam: Client;
  let session = '';

  before(
    async () => {
      stack = await startStack(cleanup, { SENTINEL_AUDIT_CHECKPOINT_SECONDS: '5' });
      await signIn();
      await Promise.all(['to-revoke', 'to-reset', 'to-retire', 'kept', 'to-heal'].map(enroll));
      await Promise.all(['to-approve', 'to-review'].map(present));
    },
    { timeout: 180_000 },
  );

  async function signIn(): Promise<void> {
    for (const person of Object.keys(people) as Person[]) tokens.set(person, await stack.token(person));
    [ann, sam] = await Promise.all([stack.as('ann'), stack.as('sam')]);
    const olga = await stack.as('olga');
    session = (await olga.admin.sessions()).items.find(({ current }) => current)?.id ?? '';
  }

  async function present(id: string): Promise<TestDevice> {
    const device = devices.get(id) ?? (await stack.device(id));
    devices.set(id, device);
    await device.heartbeat(1);
    await reviewOf(id);
    return device;
  }

  /** Rows of the project, as row-level security shows them to the owner. */
  async function rowsOf<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const client = await stack.database.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SET LOCAL sentinel.project = 'default'`);
      const { rows } = await client.query<Row>(text, [...values]);
      await client.query('COMMIT');
      return rows;
    } finally {
      client.release();
    }
  }

  const reviewOf = (id: string) =>
    eventually(async () => {
      const review = (await ann.devices.get(id)).pending_review;
      return review !== null && (await ann.approvals.get(review.id).catch(() => null))?.state === 'open' && review;
    }, `a review of ${id}`);

  async function enroll(id: string): Promise<void> {
    await present(id);
    await ann.devices.identityReview(id, { decision: 'approve', digest: (await reviewOf(id)).digest });
  }

  const reviewIds = new Map<string, string>();
  const mutations: Readonly<Record<string, Mutation>> = {
    'POST /api/devices/{device_id}/identity-review': {
      by: 'ann',
      path: () => '/api/devices/to-approve/identity-review',
      body: () => ({ decision: 'approve' }),
    },
    'POST /api/approvals/{id}/review': {
      by: 'ann',
      path: () => `/api/approvals/${reviewIds.get('to-review')}/review`,
      body: () => ({ decision: 'reject' }),
    },
    'POST /api/devices/{device_id}/certificate/revoke': {
      by: 'sam',
      path: () => '/api/devices/to-revoke/certificate/revoke',
      body: () => ({}),
    },
    'POST /api/devices/{device_id}/reset': { by: 'sam', path: () => '/api/devices/to-reset/reset', body: () => ({}) },
    'POST /api/devices/{device_id}/retire': {
      by: 'sam',
      path: () => '/api/devices/to-retire/retire',
      body: () => ({}),
    },
    'PUT /api/saved-filters/{name}': {
      by: 'vic',
      path: () => '/api/saved-filters/mine',
      body: () => ({ query: { liveness: 'stale' } }),
    },
    'DELETE /api/saved-filters/{name}': { by: 'vic', path: () => '/api/saved-filters/mine' },
    'POST /api/doctor/heal': {
      by: 'root',
      path: () => '/api/doctor/heal',
      body: () => ({ subjects: [{ kind: 'device', id: 'to-heal' }] }),
    },
    'POST /api/admin/login': {
      by: 'nobody',
      path: () => '/api/admin/login',
      body: () => ({ username: 'olga', password: 'olga' }),
    },
    'POST /api/admin/sessions/{session_id}/revoke': {
      by: 'sam',
      path: () => `/api/admin/sessions/${session}/revoke`,
      body: () => ({}),
    },
    'POST /api/admin/logout': { by: 'olga', path: () => '/api/admin/logout', body: () => ({}) },
  };

  async function send(route: string): Promise<Answer> {
    const mutation = mutations[route];
    assert.ok(mutation);
    const { by, path, body } = mutation;
    const headers: Record<string, string> = by === 'nobody' ? {} : { authorization: `Bearer ${tokens.get(by)}` };
    return stack.request(path(), {
      method: route.split(' ')[0] as Method,
      headers,
      ...(body === undefined ? {} : { body: body() }),
    });
  }

  /** Every route of the running router, as it describes itself. */
  async function routes(): Promise<readonly string[]> {
    const { body } = await stack.request('/api/openapi.json');
    return Object.entries(body['paths'] as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
  }

  /** Everything that was decided or is kept, as one text. */
  async function everything(): Promise<string> {
    const parts = [];
    for (const [table, columns] of Object.entries(kept)) {
      const rows = await rowsOf<{ text: string }>(
        `SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') AS text
         FROM (SELECT ${columns} FROM ${table}) t`,
      );
      parts.push(`${table}\n${rows[0]?.text}`);
    }
    return parts.join('\n');
  }
  /** The same when nothing is under way any more. */
  async function unchanging(): Promise<string> {
    let last = await everything();
    return eventually(async () => {
      const before = last;
      await pause(300);
      last = await everything();
      return before === last && last;
    }, 'nothing to change any more');
  }

  const kept = {
    actor: '*',
    actor_transition: '*',
    approval: '*',
    approval_consumption: '*',
    audit_event: 'id',
    certificate_denylist: '*',
    device: '*',
    outbox_event: 'id',
    saved_filter: '*',
    idempotency_key: '*',
    admin_session: 'id, username, ended_at',
  };

  const audit = async () => {
    const { body } = await stack.request('/api/health/ready');
    return (body['checks'] as Record<string, { status: string; detail: string }>)['audit'];
  };

  const breaks = {
    'the roles may not insert': {
      on: async () => {
        const { rows } = await stack.database.query<{ grantee: string; names: string }>(
          `SELECT grantee, string_agg(column_name, ', ') AS names FROM information_schema.column_privileges
           WHERE table_name = 'audit_event' AND privilege_type = 'INSERT' AND grantee LIKE 'sentinel\\_%'
             AND grantee IN ('sentinel_api', 'sentinel_worker') GROUP BY grantee`,
        );
        assert.equal(rows.length, 2);
        await stack.database.query('REVOKE INSERT ON audit_event FROM sentinel_api, sentinel_worker');
        return rows.map(({ grantee, names }) => `GRANT INSERT (${names}) ON audit_event TO ${grantee}`);
      },
    },
    'the disk is full': {
      on: async () => {
        await stack.database.query(
          `CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$`,
        );
        await stack.database.query(
          'CREATE TRIGGER no_room BEFORE INSERT ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION no_room()',
        );
        return ['DROP TRIGGER no_room ON audit_event', 'DROP FUNCTION no_room'];
      },
    },
  } as const;

  for (const [what, { on }] of Object.entries(breaks)) {
    it(
      `while ${what}, every change is refused without an effect, and reads and heartbeats go on (FT-16)`,
      { timeout: 120_000 },
      async () => {
        for (const id of ['to-approve', 'to-review']) reviewIds.set(id, (await reviewOf(id)).id);
        const all = await routes();
        const mutating = all.filter(
          (route) => !route.startsWith('GET ') && !readers.includes(route) && route !== liveness,
        );
        assert.deepEqual(
          mutating.toSorted(),
          Object.keys(mutations).toSorted(),
          'a new route says here how it is asked',
        );
        const repair = await on();
        try {
          const before = await unchanging();
          assert.match(before, /to-approve[^]*to-retire/, 'there is something to compare');
          for (const route of mutating) {
            const { status, body, retryAfter } = await send(route);
            assert.deepEqual([status, body['code']], [503, 'service.unavailable'], `${route}: ${JSON.stringify(body)}`);
            assert.match(String(body['detail']), /audit trail cannot be written/, route);
            assert.ok(Number(retryAfter) > 0, route);
          }
          assert.equal(await everything(), before, 'nothing has an effect');

          for (const route of all.filter((one) => /^GET [^{]*$/.test(one) && !/stream|export|metrics/.test(one))) {
            const answer = await stack.request(route.slice(4), {
              headers: { authorization: `Bearer ${tokens.get('root')}` },
            });
            assert.ok(answer.status < 400, `${route}: ${answer.status}`);
          }
          assert.equal(
            (
              await eventually(async () => {
                const check = await audit();
                return check?.status === 'degraded' && check;
              }, 'readiness to say so')
            ).detail,
            'cannot be written; changes are refused, reads and heartbeats go on',
          );
          const counter = Date.now();
          assert.equal((await devices.get('kept')?.heartbeat(counter))?.status, 200, 'an approved device is answered');
          assert.equal((await devices.get('kept')?.heartbeat(counter))?.status, 409, 'and a refusal stays one');
          const newcomer = await stack.device(`new-${what.length}`);
          devices.set(newcomer.id, newcomer);
          assert.equal((await newcomer.heartbeat(1)).status, 202);
        } finally {
          for (const statement of repair) await stack.database.query(statement);
        }
      },
    );

    it(`once that is over (${what}) what waited is written once (FT-16)`, { timeout: 60_000 }, async () => {
      await eventually(async () => (await audit())?.status === 'ok', 'readiness');
      const id = `new-${what.length}`;
      await reviewOf(id);
      const rows = await rowsOf<{ action: string; count: string }>(
        `SELECT action, count(*) FROM audit_event WHERE subject_id = $1 AND action = 'device.identity.pending' GROUP BY 1`,
        [id],
      );
      assert.deepEqual(
        rows.map(({ count }) => Number(count)),
        [1],
      );
    });
  }

  it('after that every route does what it could not do before (FT-16)', { timeout: 60_000 }, async () => {
    for (const route of Object.keys(mutations)) {
      const { status, body } = await send(route);
      assert.ok(status >= 200 && status < 300, `${route}: ${status} ${JSON.stringify(body)}`);
    }
    const rows = await rowsOf<{ subject_id: string; action: string }>(
      `SELECT subject_id, action FROM audit_event WHERE subject_id IN ('to-approve', 'to-revoke', 'to-reset', 'to-retire')
         AND action IN ('device.identity.approved', 'device.certificate.revoked', 'device.identity.reset',
           'device.identity.retired') ORDER BY subject_id, action`,
    );
    assert.deepEqual(
      rows.filter(({ action, subject_id }) => subject_id === 'to-approve' || action !== 'device.identity.approved'),
      [
        { subject_id: 'to-approve', action: 'device.identity.approved' },
        { subject_id: 'to-reset', action: 'device.identity.reset' },
        { subject_id: 'to-retire', action: 'device.identity.retired' },
        { subject_id: 'to-revoke', action: 'device.certificate.revoked' },
      ],
      'each once',
    );
  });

  describe('of a database that is older than the rest', () => {
    const sentinel = async (...words: string[]) => {
      const run = promisify(execFile)(process.execPath, [join(repository, 'cli/main.ts'), ...words], {
        cwd: stack.home,
        env: { ...process.env, SENTINEL_HOME: stack.home, SENTINEL_TOKEN: await stack.token('root') },
        timeout: 60_000,
      });
      return run.then(
        ({ stdout }) => ({ exit: 0, stdout }),
        (error: { code?: number; stdout?: string; stderr?: string }) => ({
          exit: error.code,
          stdout: `${error.stdout}${error.stderr}`,
        }),
      );
    };
    const sequences = async (): Promise<readonly number[]> => {
      const rows = await rowsOf<{ sequence: string }>(
        `SELECT sequence FROM audit_event WHERE project_id = 'default' AND sequence IS NOT NULL ORDER BY sequence`,
      );
      return rows.map(({ sequence }) => Number(sequence));
    };
    let signed = 0;
    let place = '';
    before(async () => {
      place = await mkdtemp(join(tmpdir(), 'sentinel-put-back-'));
      cleanup.after(() => rm(place, { recursive: true, force: true }));
      await symlink(stack.home, join(place, '.sentinel'));
      await mkdir(join(place, 'bin'));
      const program = `#!/bin/sh\nexec '${process.execPath}' '${join(repository, 'cli/main.ts')}' "$@"\n`;
      await writeFile(join(place, 'bin', 'sentinel'), program, { mode: 0o755 });
    });

    /** The block of the documentation that begins with this. */
    async function type(words: string): Promise<void> {
      const block = blocksTypedBy(import.meta.filename).find(({ text }) => text.startsWith(words));
      assert.ok(block, words);
      await promisify(execFile)('bash', ['--norc', '-euo', 'pipefail', '-c', block.text], {
        cwd: place,
        env: { ...process.env, PATH: `${join(place, 'bin')}:${process.env.PATH}`, SENTINEL_HOME: stack.home },
      });
    }

    it(
      'changes are refused, and what was revoked since stays revoked (FT-17, FT-18)',
      { timeout: 180_000 },
      async () => {
        assert.deepEqual(await sentinel('doctor', '--json').then(({ exit }) => exit), 0, 'nothing diverges');
        await stack.stop();
        await type('cp -a');
        await stack.restart();
        await signIn();
        await sam.devices.revoke('kept');
        await eventually(async () => {
          const rows = await rowsOf(
            `SELECT FROM actor WHERE subject_id = 'kept' AND jsonb_array_length(snapshot #> '{context,revoked_fingerprints}') > 0`,
          );
          return rows.length === 1;
        }, 'the actor to have heard of it');
        await sam.devices.reset('to-heal');
        await sam.audit.integrity();
        signed = (await sequences()).at(-1) ?? 0;
        // The last checkpoint is signed when the sealer stops.
        await stack.stop();
        await type('rm -r');
        await stack.restart();
        const root = await stack.as('root');
        await assert.rejects(root.devices.retire('to-heal'), { code: 'service.unavailable' });
        const revoked = await stack.device('kept', devices.get('kept')?.certificate);
        await eventually(async () => (await revoked.heartbeat(Date.now())).status === 403, 'the refusal');
        assert.equal((await stack.as('vic').then((vic) => vic.devices.get('kept'))).trust_tier, 'revoked');
        assert.equal((await stack.as('vic').then((vic) => vic.devices.get('to-heal'))).approval_state, 'pending');
      },
    );

    it(
      'the doctor says what is lost, and once somebody accepts that, it goes on behind what was signed (FT-17, FT-18)',
      { timeout: 120_000 },
      async () => {
        await type('sentinel doctor');
        const found = await sentinel('doctor', '--json');
        assert.equal(found.exit, 1);
        assert.match(found.stdout, /trail\.invalid/);
        assert.equal((await sentinel('audit', 'accept-restore', '--yes')).exit, 0);
        const root = await stack.as('root');
        await eventually(
          async () => (await root.devices.retire('to-heal').catch(() => null)) !== null,
          'changes to be taken',
        );
        await eventually(
          async () => ((await sequences()).at(-1) ?? 0) > signed,
          'events behind those that were signed',
        );
        const all = await sequences();
        assert.equal(new Set(all).size, all.length);
        const gap = all.find((sequence, index) => index > 0 && sequence !== (all[index - 1] ?? 0) + 1) ?? 0;
        assert.ok(gap > signed, `${gap} was never signed before, and ${signed} was`);
        const { valid, first_broken_sequence } = await root.audit.integrity({ full: true });
        assert.deepEqual([valid, (first_broken_sequence ?? 0) <= signed], [false, true], 'the loss stays on record');
      },
    );
  });
});

// Row security, tried by every role on every table of a project: nobody reaches rows of another, except who serves all.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import pg from 'pg';
import { startIdempotent } from '#store/idempotency.ts';
import { databaseRoles } from '#store/roles.ts';
import { saveFilter } from '#store/saved-filter.ts';
import { sealChain } from '#store/sealer.ts';
import { syncTrustAnchors } from '#store/trust-anchor.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import {
  approval,
  approvalCommit,
  after,
  approved,
  attest,
  auditEntry,
  commit,
  decide,
  deviceCommit,
  digest,
  heartbeat,
  noon,
  report,
  revoke,
} from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

/**
 * What row security lets a role do in all projects at once, letter by letter: Select, Insert, Update, Delete. Its rights
 * on whole tables are the other lock, in tenancy.test.ts: neither list is made from the other, so that each catches what
 * the other would let pass.
 */
const acrossProjects: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  sentinel_api: { admin_session: 'SIUD', trust_anchor: 'S' },
  sentinel_sealer: { audit_event: 'SIUD', audit_head: 'SIUD', outbox_event: 'SIUD' },
  sentinel_heartbeat: {
    certificate_denylist: 'S',
    device: 'S',
    device_candidate: 'SIUD',
    device_first_contact: 'SIUD',
    device_inbox: 'I',
    device_liveness: 'SIUD',
    device_observation: 'SIUD',
    device_silence: 'SIUD',
  },
  sentinel_reconciler: {
    actor: 'S',
    admin_session: 'SD',
    approval: 'S',
    attestation_basis: 'SD',
    attestation_common: 'SD',
    attestation_verdict: 'SD',
    certificate_denylist: 'S',
    device: 'S',
    device_attestation: 'S',
    device_candidate: 'S',
    device_first_contact: 'S',
    device_inbox: 'SD',
    device_liveness: 'S',
    idempotency_key: 'SD',
  },
};
const projects = ['default', 'other'] as const;
const roles = [...Object.keys(databaseRoles), 'sentinel'];

describe('row security', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  let tables: readonly string[];
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
    for (const project of projects) await fill(project);
    tables = (
      await database.rows<{ name: string }>(
        `SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'project_id'
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1`,
      )
    ).map(({ name }) => name);
  });

  /** At least one row of each table, as it really comes to be. */
  async function fill(project: string): Promise<void> {
    const { api, worker, sealer } = database;
    await report(api, heartbeat('waits', { project }));
    await report(api, heartbeat('reports', { project }));
    await decide(worker, { project, id: 'reports' }, approved('reports-1'));
    const acknowledgements = [{ kind: 'acknowledgement', payload: {} }];
    await report(api, heartbeat('reports', { project, acknowledgements }), after(3600));
    await revoke(api, 'waits', null, { project });
    const id = randomUUID();
    const row = approval({ subject_id: 'asks', state: 'approved', closed_at: noon });
    await commit(worker, 'run-a', approvalCommit(id, { actor: { kind: 'approval', project, id }, row }));
    const consumed = {
      kind: 'approval.consumed' as const,
      approval_id: id,
      outcome: 'approved',
      digest: row.digest,
    };
    const actor = { kind: 'device' as const, project, id: 'asks' };
    await commit(worker, 'run-1', deviceCommit({ actor, audit: [auditEntry()], requirements: [consumed] }));
    await startIdempotent(api, { project, principal: 'ann', route: '/r', key: 'k' }, digest('body'), new Date(noon));
    await saveFilter(api, project, 'ann', { name: 'mine', query: {}, saved_at: noon });
    const anchor = { fingerprint_sha256: digest(project), subject: 'CN=CA', pem: 'PEM' };
    await syncTrustAnchors(api, project, [anchor], noon);
    await attest(api, { project, id: 'reports' });
    await sealChain(sealer, { project, stream: 'audit' }, 1);
  }

  /** Runs `work` as this role, in this project if any, and undoes it. */
  async function as<T>(
    role: string,
    project: string | null,
    work: (query: (text: string, values?: unknown[]) => Promise<pg.QueryResult>) => Promise<T>,
  ): Promise<T> {
    const client = new pg.Client({ connectionString: database.superuserUrl });
    await client.connect();
    try {
      await client.query('BEGIN');
      if (project !== null) await client.query(`SELECT set_config('sentinel.project', $1, true)`, [project]);
      await client.query(`SET LOCAL ROLE ${client.escapeIdentifier(role)}`);
      return await work((text, values) => client.query(text, values));
    } finally {
      await client.end();
    }
  }

  /** Tables on which a role may do something, with the columns it may do that to. */
  async function allowed(role: string, what: string): Promise<readonly { table: string; columns: string[] }[]> {
    const rows = await database.rows<{ table: string; columns: string[] }>(
      `SELECT t AS table, array(SELECT a.attname::text FROM pg_attribute a
         WHERE a.attrelid = t::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = ''
           AND (has_table_privilege($1, a.attrelid, $3)
             OR ($3 <> 'DELETE' AND has_column_privilege($1, a.attrelid, a.attnum, $3)))) AS columns
       FROM unnest($2::text[]) t`,
      [role, tables, what],
    );
    return rows.filter(({ columns }) => columns.length > 0);
  }
  const isAcross = (role: string, table: string, letter: string) =>
    (acrossProjects[role]?.[table] ?? '').includes(letter);

  it('makes an exception for the roles that serve all projects, on what they serve, and for nobody else', async () => {
    const found: Record<string, Record<string, string>> = {};
    const policies = await database.rows<{ role: string; table: string; kinds: string }>(
      `SELECT r.role::regrole::text AS role, p.polrelid::regclass::text AS table,
         string_agg(CASE p.polcmd WHEN 'r' THEN 'S' WHEN 'a' THEN 'I' WHEN 'w' THEN 'U' WHEN 'd' THEN 'D' ELSE 'SIUD' END,
           '' ORDER BY p.polname) AS kinds
       FROM pg_policy p CROSS JOIN LATERAL unnest(p.polroles) AS r (role)
       WHERE p.polname <> 'own_project' GROUP BY 1, 2`,
    );
    for (const { role, table, kinds } of policies) found[role] = { ...found[role], [table]: kinds };
    assert.deepEqual(found, acrossProjects);
    const own = await database.rows(
      `SELECT DISTINCT polcmd, polroles::text, pg_get_expr(polwithcheck, polrelid) AS check FROM pg_policy
       WHERE polname = 'own_project'`,
    );
    assert.deepEqual(own, [{ polcmd: '*', polroles: '{0}', check: null }], 'for every command of everybody');
  });

  it('lets who sweeps all projects remove only what has lapsed', async () => {
    const rows = await database.rows<{ table: string }>(
      `SELECT polrelid::regclass::text AS table FROM pg_policy
       WHERE polcmd IN ('d', '*') AND 'sentinel_reconciler'::regrole = ANY (polroles)
         AND pg_get_expr(polqual, polrelid) = 'true'`,
    );
    assert.deepEqual(rows, []);
  });

  it('is passed by no role of ours', async () => {
    const rows = await database.rows(
      `SELECT rolname FROM pg_roles WHERE rolname LIKE 'sentinel%' AND (rolsuper OR rolbypassrls)`,
    );
    assert.deepEqual(rows, []);
  });

  it('has something to hide in every table of a project', async () => {
    for (const table of tables) {
      const rows = await database.rows<{ project_id: string }>(`SELECT DISTINCT project_id FROM ${table} ORDER BY 1`);
      assert.deepEqual(
        rows.map(({ project_id }) => project_id),
        projects,
        table,
      );
    }
  });

  for (const role of roles) {
    it(`shows ${role} no row without a project, and none of another (SS-01)`, async () => {
      const readable = (await allowed(role, 'SELECT')).filter(({ table }) => !isAcross(role, table, 'S'));
      for (const project of [null, 'other'] as const) {
        await as(role, project, async (query) => {
          for (const { table } of readable) {
            const { rows } = await query(`SELECT DISTINCT project_id FROM ${table}`);
            assert.deepEqual(rows, project === null ? [] : [{ project_id: project }], table);
          }
        });
      }
    });

    it(`lets ${role} add, change and remove none of another project (SS-01)`, async () => {
      for (const { table, columns } of await allowed(role, 'INSERT')) {
        if (isAcross(role, table, 'I')) continue;
        const [row] = await database.rows<{ row: object }>(
          // Of events one without its place: another may nobody insert.
          `SELECT to_jsonb(t) AS row FROM ${table} t WHERE project_id = 'default'
           ORDER BY to_jsonb(t)->>'previous_hash' NULLS FIRST LIMIT 1`,
        );
        const list = columns.join(', ');
        const add = as(role, 'other', (query) =>
          query(`INSERT INTO ${table} (${list}) SELECT ${list} FROM jsonb_populate_record(NULL::${table}, $1)`, [
            row?.row,
          ]),
        );
        await assert.rejects(add, /violates row-level security policy/, `${table}: insert`);
      }
      for (const [what, letter] of [
        ['UPDATE', 'U'],
        ['DELETE', 'D'],
      ] as const) {
        for (const { table, columns } of await allowed(role, what)) {
          if (isAcross(role, table, letter)) continue;
          const [column = ''] = columns;
          const text = what === 'UPDATE' ? `UPDATE ${table} SET ${column} = ${column}` : `DELETE FROM ${table}`;
          const changed = await as(role, 'other', (query) => query(`${text} WHERE project_id = 'default'`));
          assert.equal(changed.rowCount, 0, `${table}: ${what}`);
        }
      }
    });
  }
});

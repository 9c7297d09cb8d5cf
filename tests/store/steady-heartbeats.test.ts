// Steady heartbeats: the short way accepts nothing that the whole judgement would answer or write down otherwise.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { heartbeatBatch, type HeartbeatItem } from '#store/heartbeat.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, approved, decide, digest, facts, heartbeat, heartbeatLimits, noon, revoke } from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

interface Circumstances {
  readonly steady: boolean;
  /** What is so before the heartbeat comes; `$1` is the device. */
  readonly given?: string;
  readonly item?: (id: string) => Parameters<typeof heartbeat>[1];
  readonly at?: string;
  readonly signalIntervalSeconds?: number;
  readonly also?: (database: StoreTest, id: string) => Promise<unknown>;
}

const liveness = (what: string) => `UPDATE device_liveness SET ${what} WHERE device_id = $1`;
const device = (what: string) => `UPDATE device SET ${what} WHERE device_id = $1`;

const cases: Readonly<Record<string, Circumstances>> = {
  'that says nothing new': { steady: true },
  'of a time before the last': { steady: true, at: after(-1) },
  'without a counter': { steady: true, item: () => ({ counter: null }) },
  'with the counter of before': { steady: false, item: () => ({ counter: 10 }) },
  'with an older counter': { steady: false, item: () => ({ counter: 9 }) },
  'after a reset of counters': { steady: false, given: device('counter_epoch = 2'), item: () => ({ counter: 1 }) },
  'with another observation': { steady: false, item: () => ({ observed_digest: digest('else') }) },
  'with an observation that was not taken in': { steady: false, given: device(`applied_digest = 'other'`) },
  'with an observation that was not written down': { steady: false, given: liveness(`observed_digest = NULL`) },
  'with another certificate': { steady: false, item: (id) => ({ certificate: `${id}-2` }) },
  'without a certificate': { steady: false, item: () => ({ certificate: null }) },
  'with an acknowledgement': {
    steady: false,
    item: () => ({ acknowledgements: [{ kind: 'acknowledgement', payload: { id: 'a' } }] }),
  },
  'with an inbox that is behind': { steady: false, given: liveness('inbox_seq = 1') },
  'with news that were taken in since': { steady: false, given: liveness(`news_since = '${noon}'`) },
  'whose signal is due': { steady: false, at: after(43_200), given: liveness(`last_seen_at = '${after(43_199)}'`) },
  'where every one is signalled': { steady: false, signalIntervalSeconds: 0 },
  'that was never signalled': { steady: false, given: liveness('signalled_at = NULL') },
  'after a silence': { steady: false, at: after(62) },
  'with a candidate that waits for its review': {
    steady: false,
    given: liveness(`candidate_fingerprint = repeat('c', 64), candidate_generation = 1`),
  },
  'with a candidate under review': {
    steady: true,
    given: `WITH l AS (UPDATE device_liveness SET candidate_fingerprint = repeat('c', 64), candidate_generation = 1
      WHERE device_id = $1) UPDATE device SET candidate_fingerprint = repeat('c', 64) WHERE device_id = $1`,
  },
  'with a candidate of an older review': {
    steady: true,
    given: liveness(`candidate_fingerprint = repeat('c', 64), candidate_generation = 0`),
  },
  'of a pending device': { steady: false, given: device(`state = 'pending'`) },
  'of an expired device': { steady: false, given: device(`state = 'expired'`) },
  'of a rejected device': { steady: false, given: device(`state = 'rejected'`) },
  'of a retired device': { steady: false, given: device(`state = 'retired'`) },
  'of an unknown device': {
    steady: false,
    given: `WITH l AS (DELETE FROM device_liveness WHERE device_id = $1) DELETE FROM device WHERE device_id = $1`,
  },
  'of a revoked certificate': { steady: false, also: ({ api }, id) => revoke(api, id) },
  'of a number that its issuer revoked': {
    steady: false,
    async also(database, id) {
      const { issuer, serial_number } = facts(`${id}-1`);
      await database.rows(
        `INSERT INTO certificate_denylist (project_id, fingerprint_sha256, device_id, issuer, serial_number, revoked_at, revoked_by)
         VALUES ('default', $1, 'another', $2, $3, $4, 'sam')`,
        [digest(`another ${id}`), issuer, serial_number, noon],
      );
    },
  },
};

describe('a steady heartbeat', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
  });

  /** What the whole judgement says, and what it leaves of the device; it is undone. */
  async function judgedWhole(item: HeartbeatItem, now: string, signalIntervalSeconds: number) {
    await database.rows('BEGIN');
    try {
      const [verdict] = await database.rows<Record<string, unknown>>(
        `SELECT code, first_contact, signal, acknowledged, state, tier, epoch, pinned_not_after, pinned_revoked
         FROM heartbeat_batch(ARRAY[$1], ARRAY[$2], ARRAY[$3], ARRAY[$4], ARRAY[$5], ARRAY[$6]::bigint[], ARRAY[$7], $8,
           $9, 1000, $10, 5, 1000, 60)`,
        [
          item.project,
          item.device_id,
          item.certificate?.facts.fingerprint_sha256 ?? null,
          item.certificate?.facts.issuer ?? null,
          item.certificate?.facts.serial_number ?? null,
          item.counter,
          item.observed_digest,
          item.acknowledgements.length === 0
            ? null
            : JSON.stringify(item.acknowledgements.map((one, position) => ({ item: 1, position, ...one }))),
          now,
          signalIntervalSeconds,
        ],
      );
      return { verdict, left: await leftOf(item.device_id) };
    } finally {
      await database.rows('ROLLBACK');
    }
  }

  async function leftOf(id: string) {
    const [liveRow] = await database.rows<Record<string, unknown>>(
      'SELECT * FROM device_liveness WHERE device_id = $1',
      [id],
    );
    const { observed_digest: _, ...row } = liveRow ?? {};
    const silences = await database.rows('SELECT * FROM device_silence WHERE device_id = $1', [id]);
    const inbox = await database.rows('SELECT * FROM device_inbox WHERE device_id = $1', [id]);
    return { row, silences, inbox };
  }

  const isSteady = async (
    { project, device_id, certificate, counter, observed_digest }: HeartbeatItem,
    now: string,
  ) => {
    await database.rows('BEGIN');
    const [row] = await database.rows<{ accepted: string | null }>(
      `SELECT heartbeat_steady($1, $2, $3, $4, $5, ARRAY[$6]::bigint[], $7, $8, 43200, 60) AS accepted`,
      [
        project,
        device_id,
        certificate?.facts.fingerprint_sha256 ?? null,
        certificate?.facts.issuer ?? null,
        certificate?.facts.serial_number ?? null,
        counter,
        observed_digest,
        now,
      ],
    );
    await database.rows('ROLLBACK');
    return row?.accepted !== null;
  };

  for (const [index, [name, circumstances]] of Object.entries(cases).entries()) {
    const { steady, given, item: more, at = after(1), signalIntervalSeconds = 43_200, also } = circumstances;
    it(`${name} is judged as the whole judgement does${steady ? ', without asking it' : ''}`, async () => {
      const id = `steady-${index}`;
      await heartbeatBatch(database.api, [heartbeat(id, { counter: 5 })], heartbeatLimits, noon);
      await decide(database.worker, id, approved(`${id}-1`, { inbox_consumed: 0 }));
      for (const counter of [9, 10]) {
        const [verdict] = await heartbeatBatch(database.api, [heartbeat(id, { counter })], heartbeatLimits, noon);
        assert.equal(verdict?.code, 'accepted');
      }
      if (given !== undefined) await database.rows(given, [id]);
      await also?.(database, id);

      const item = heartbeat(id, { counter: 11, ...more?.(id) });
      const whole = await judgedWhole(item, at, signalIntervalSeconds);
      if (item.acknowledgements.length === 0 && signalIntervalSeconds > 0)
        assert.equal(await isSteady(item, at), steady);
      const [verdict] = await heartbeatBatch(database.api, [item], { ...heartbeatLimits, signalIntervalSeconds }, at);
      assert.ok(verdict);
      const { grant, identity_verified, pinned_not_after, ...told } = verdict;
      const { state, tier, epoch, pinned_not_after: end, ...wholeTold } = whole.verdict ?? {};
      assert.deepEqual({ ...told }, { ...wholeTold });
      assert.deepEqual(grant, state === null ? null : { state, tier, epoch });
      assert.equal(pinned_not_after, end instanceof Date ? end.toISOString() : end);
      assert.equal(identity_verified, item.certificate !== null);
      assert.deepEqual(await leftOf(id), whole.left);
    });
  }

  it('takes nothing of another for its own when a text has lines', async () => {
    const ids = ['lined-a', 'lined-b'];
    for (const id of ids) {
      await heartbeatBatch(database.api, [heartbeat(id)], heartbeatLimits, noon);
      await decide(database.worker, id, approved(`${id}-1`));
      await heartbeatBatch(database.api, [heartbeat(id, { counter: 1 })], heartbeatLimits, noon);
    }
    await revoke(database.api, 'lined-b');
    const lined = heartbeat('lined-a', { counter: 2, observed_digest: `x\n${digest('observed')}` });
    const verdicts = await heartbeatBatch(
      database.api,
      [lined, heartbeat('lined-b', { counter: 2 })],
      heartbeatLimits,
      after(1),
    );
    assert.deepEqual(
      verdicts.map(({ code, signal }) => [code, signal]),
      [
        ['accepted', true],
        ['certificate.revoked', false],
      ],
    );
  });

  it('refuses a row whose name is none of a device', async () => {
    await heartbeatBatch(database.api, [heartbeat('named')], heartbeatLimits, noon);
    await assert.rejects(
      database.rows(`INSERT INTO device_liveness (project_id, device_id, first_seen_at, last_seen_at)
        VALUES ('default', 'no name', now(), now())`),
      { code: '23514' },
    );
    await assert.rejects(database.rows(`UPDATE device_liveness SET device_id = '-' WHERE device_id = 'named'`), {
      code: '23514',
    });
  });
});

// Whatever somebody who owns the database does to a real chain, its verification names the first event that is not as it was.
import assert from 'node:assert/strict';
import { before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { chainHash, firstHash } from '#store/chain.ts';
import { lostEnds, sealChain } from '#store/sealer.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { trailTest, type Trail } from './trail.ts';

const length = 12;
/** Events after which a checkpoint was signed. */
const signed = [4, 8, 12];
const runs = 40;

describe('a chain that somebody has tampered with', () => {
  const cleanup = cleanupAfterAll();
  let trail: Trail;
  before(async () => {
    trail = await trailTest(cleanup);
    for (const _ of signed) {
      await trail.write(4);
      await trail.checkpoints.sign();
    }
    await trail.database.rows('CREATE TABLE whole_events AS SELECT * FROM audit_event');
    await trail.database.rows('CREATE TABLE whole_heads AS SELECT * FROM audit_head');
  });

  async function putBack(): Promise<void> {
    const [columns] = await trail.database.rows<{ names: string }>(
      `SELECT string_agg(column_name, ', ') AS names FROM information_schema.columns WHERE table_name = 'whole_events'`,
    );
    const names = columns?.names ?? '';
    await trail.tamper(
      'DELETE FROM audit_event',
      `INSERT INTO audit_event (${names}) OVERRIDING SYSTEM VALUE SELECT ${names} FROM whole_events`,
      `UPDATE audit_head h SET sequence = w.sequence, hash = w.hash FROM whole_heads w
       WHERE w.project_id = h.project_id AND w.stream = h.stream`,
    );
  }
  beforeEach(putBack);

  /** Each run begins with the whole chain; what the verification finds is compared with what is true. */
  async function always<T>(given: fc.Arbitrary<T>, damage: (given: T) => Promise<number>, numRuns = runs) {
    assert.equal((await trail.verify()).valid, true, 'nobody has touched it yet');
    await fc.assert(
      fc.asyncProperty(given, async (one) => {
        const first = await damage(one);
        const report = await trail.verify();
        assert.deepEqual([report.valid, report.first_broken_sequence], [false, first], report.reason ?? '');
        await putBack();
      }),
      { numRuns, endOnFailure: true },
    );
  }

  const place = fc.integer({ min: 1, max: length });
  const edits = {
    details: (n: number) => `UPDATE audit_event SET details = '{}' WHERE sequence = ${n}`,
    actor: (n: number) => `UPDATE audit_event SET actor_id = 'nobody' WHERE sequence = ${n}`,
    outcome: (n: number) => `UPDATE audit_event SET outcome = 'success' WHERE sequence = ${n}`,
    time: (n: number) => `UPDATE audit_event SET occurred_at = occurred_at + interval '1 ms' WHERE sequence = ${n}`,
    bytes: (n: number) => `UPDATE audit_event SET canonical = canonical || ' '::bytea WHERE sequence = ${n}`,
    link: (n: number) => `UPDATE audit_event SET previous_hash = repeat('a', 64) WHERE sequence = ${n}`,
    hash: (n: number) => `UPDATE audit_event SET hash = repeat('a', 64) WHERE sequence = ${n}`,
    removal: (n: number) => `DELETE FROM audit_event WHERE sequence = ${n}`,
  } as const;

  it('is found broken at the first of any edits and removals (FT-17)', async () => {
    const one = fc.tuple(place, fc.constantFrom(...(Object.keys(edits) as (keyof typeof edits)[])));
    await always(fc.array(one, { minLength: 1, maxLength: 4 }), async (all) => {
      await trail.tamper(...all.map(([n, edit]) => edits[edit](n)));
      return Math.min(...all.map(([n]) => n));
    });
  });

  it('is found broken at the first of two events that changed places (FT-17)', async () => {
    const pair = fc.uniqueArray(place, { minLength: 2, maxLength: 2 }).map((two) => two.toSorted((a, b) => a - b));
    await always(pair, async ([one = 0, other = 0]) => {
      await trail.tamper(
        `UPDATE audit_event SET sequence = 99 WHERE sequence = ${one}`,
        `UPDATE audit_event SET sequence = ${one} WHERE sequence = ${other}`,
        `UPDATE audit_event SET sequence = ${other} WHERE sequence = 99`,
      );
      return one;
    });
  });

  it('is found broken where an event was put in (FT-17)', async () => {
    await always(fc.integer({ min: 2, max: length + 1 }), async (at) => {
      await trail.tamper(...putIn(at));
      return at;
    });
  });

  it('is found cut when any number of events is gone from its end, head and rows alike, by the checkpoint (FT-17)', async () => {
    await always(fc.integer({ min: 1, max: length }), async (gone) => {
      await trail.tamper(...cutAfter(length - gone), 'TRUNCATE audit_checkpoint');
      return length - gone + 1;
    });
    await trail.tamper(...cutAfter(length - 1), 'TRUNCATE audit_checkpoint');
    assert.match((await trail.verify()).reason ?? '', /cut off/);
  });

  it('is found forked, rewritten or cut, with all hashes right, from the first checkpoint that it contradicts (FT-17)', async () => {
    // After `kept` events everything is another history, of any length: shorter, as long, or longer than the one before.
    const fork = fc.record({
      kept: fc.integer({ min: 0, max: length - 1 }),
      other: fc.integer({ min: 0, max: length }),
    });
    await always(fork, async ({ kept, other }) => {
      await trail.tamper(...cutAfter(kept), 'TRUNCATE audit_checkpoint');
      await trail.record(other);
      while ((await sealChain(trail.database.sealer, { project: 'default', stream: 'audit' }, 100)) === 100);
      const head = kept + other;
      const contradicted = signed.find((sequence) => sequence > kept && sequence <= head);
      return contradicted ?? head + 1;
    });
  });

  it('is found rewritten when one event was changed and all hashes after it were made anew (FT-17)', async () => {
    await always(place, async (n) => {
      await trail.tamper(
        `UPDATE audit_event SET canonical = convert_to(replace(convert_from(canonical, 'UTF8'), '"d1"', '"d9"'), 'UTF8'),
           actor_id = 'd9', subject_id = 'd9' WHERE sequence = ${n}`,
      );
      await relink();
      return signed.find((sequence) => sequence >= n) ?? 0;
    });
  });

  it('is what the newest checkpoint is compared with before anything goes on from it (FT-17)', async () => {
    const heads = await trail.database.rows<{ project_id: string; stream: 'audit'; sequence: number; hash: string }>(
      `SELECT project_id, stream, sequence::float8 AS sequence, hash FROM audit_head WHERE stream = 'audit'`,
    );
    assert.deepEqual(await lostEnds(trail.database.sealer, heads), []);
    await trail.tamper(...cutAfter(9));
    const lost = { project: 'default', stream: 'audit', sequence: 12, head: 9, isCut: true };
    assert.deepEqual(await lostEnds(trail.database.sealer, heads), [lost]);
    assert.deepEqual(await lostEnds(trail.database.api, heads), [lost], 'the API sees it too');
  });

  const putIn = (at: number): readonly string[] => [
    `UPDATE audit_event SET sequence = sequence + 100 WHERE sequence >= ${at}`,
    `UPDATE audit_event SET sequence = sequence - 99 WHERE sequence > 100`,
    `INSERT INTO audit_event (project_id, id, sequence, previous_hash, hash, occurred_at, category, action, actor_kind,
       actor_id, subject_kind, subject_id, outcome, details, canonical, created_at)
     SELECT project_id, gen_random_uuid(), ${at}, hash, hash, occurred_at, category, action, actor_kind, actor_id,
       subject_kind, subject_id, outcome, details, canonical, created_at FROM audit_event WHERE sequence = ${at - 1}`,
    `UPDATE audit_head SET sequence = ${length + 1} WHERE stream = 'audit'`,
  ];

  const cutAfter = (kept: number): readonly string[] => [
    `DELETE FROM audit_event WHERE sequence > ${kept}`,
    `UPDATE audit_head SET sequence = ${kept},
       hash = coalesce((SELECT hash FROM audit_event WHERE sequence = ${kept}), '${firstHash}') WHERE stream = 'audit'`,
  ];

  /** Computes the whole chain anew from what the rows hold, and the head with it. */
  async function relink(): Promise<void> {
    const rows = await trail.database.rows<{ id: string; sequence: number; canonical: Buffer }>(
      'SELECT id, sequence::integer, canonical FROM audit_event ORDER BY sequence',
    );
    let previous_hash = firstHash;
    const statements = rows.map(({ id, sequence, canonical }) => {
      const hash = chainHash({ stream: 'audit', project: 'default', sequence, previous_hash }, canonical);
      const statement = `UPDATE audit_event SET previous_hash = '${previous_hash}', hash = '${hash}' WHERE id = '${id}'`;
      previous_hash = hash;
      return statement;
    });
    await trail.tamper(...statements, `UPDATE audit_head SET hash = '${previous_hash}' WHERE stream = 'audit'`);
  }
});

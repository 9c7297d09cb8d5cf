// A trail on a real database with signed checkpoints beside it, for tests that damage it.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTrustedCheckpoints } from '#api/checkpoints.ts';
import type { IntegrityReport } from '#contracts/audit.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { readSigningKey } from '#protocols/signed-envelope.ts';
import { recordAlone } from '#store/audit.ts';
import { verifyAudit } from '#store/integrity.ts';
import { checkpointEnvelopes, sealChain, unsealedChains } from '#store/sealer.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { createCheckpoints, type Checkpoints } from '#worker/checkpoints.ts';
import { auditEntry } from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

export interface Trail {
  readonly database: StoreTest;
  /** Of the checkpoints outside the database. */
  readonly directory: string;
  readonly checkpoints: Checkpoints;
  /** With a signing key of their own. */
  checkpointsIn(folder: string): Checkpoints;
  /** Names of the checkpoint files, oldest first. */
  checkpointNames(): Promise<readonly string[]>;
  /** Writes events, without sealing them. */
  record(count: number, project?: string): Promise<void>;
  /** Writes events and seals them. */
  write(count: number, project?: string): Promise<void>;
  verify(full?: boolean, project?: string, folder?: string): Promise<IntegrityReport>;
  /** As somebody does who owns the machine: nothing in the database holds them back. */
  tamper(...statements: readonly string[]): Promise<void>;
}

export async function trailTest(t: Cleanup): Promise<Trail> {
  return trailOf(t, await storeTest(t));
}

/** The same of a database that is there. */
export async function trailOf(t: Cleanup, database: StoreTest): Promise<Trail> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-trail-'));
  t.after(() => rm(directory, { recursive: true, force: true }));

  function checkpointsIn(folder: string): Checkpoints {
    const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return createCheckpoints({
      store: database.sealer,
      key: readSigningKey(pem),
      directory: folder,
      clock: systemClock,
      random: systemRandom,
    });
  }
  const checkpoints = checkpointsIn(directory);
  await checkpoints.publishKey();

  async function record(count: number, project = 'default'): Promise<void> {
    for (let n = 0; n < count; n++)
      await recordAlone(database.api, project, auditEntry({ details: { n, text: 'é ☃' } }));
  }

  return {
    database,
    directory,
    checkpoints,
    checkpointsIn,
    checkpointNames: async () => (await readdir(directory)).filter((name) => /^\d{4}-/.test(name)).toSorted(),
    record,
    async write(count, project) {
      await record(count, project);
      for (const chain of await unsealedChains(database.sealer)) await sealChain(database.sealer, chain, 1000);
    },
    async verify(full = true, project = 'default', folder = directory) {
      const stored = (limit: number) => checkpointEnvelopes(database.api, limit);
      const trusted = await readTrustedCheckpoints({ directory: folder, stored, log: fakeLog() }, { project, full });
      return verifyAudit(database.api, project, { full, ...trusted, signal: AbortSignal.timeout(30_000) });
    },
    async tamper(...statements) {
      const each = (act: string) =>
        ['audit_event', 'outbox_event'].map((table) => `ALTER TABLE ${table} ${act} TRIGGER ALL`);
      for (const statement of [...each('DISABLE'), ...statements, ...each('ENABLE')]) await database.rows(statement);
    },
  };
}

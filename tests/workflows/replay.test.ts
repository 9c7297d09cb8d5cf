// Every recorded history replays against the present workflows: actors that run now go on after an update.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Worker } from '@temporalio/worker';
import { createDataConverter } from '#protocols/payload-codec.ts';
import { decodeHistory, historyKeys, type RecordedHistory } from '#tests/histories/recorded.ts';
import { testBundle } from './actors.ts';

const folder = join(import.meta.dirname, '..', 'histories');
const files = globSync('*.json.gz', { cwd: folder }).toSorted();

const scenarios = [
  'enrollment-by-two',
  'rotation',
  'rejection-reset-retire',
  'revocation',
  'lapse',
  'adoption',
  'repetition',
  'long-life',
  'attestation',
] as const;

function read(file: string): RecordedHistory {
  return JSON.parse(gunzipSync(readFileSync(join(folder, file))).toString()) as RecordedHistory;
}

/** Why a history does not replay; null when it does. */
async function replay({ workflow_id, encrypted, history }: RecordedHistory, code: string): Promise<string | null> {
  const options = {
    workflowBundle: { code },
    maxCachedWorkflows: 2,
    ...(encrypted ? { dataConverter: createDataConverter(historyKeys, 'default') } : {}),
  };
  const histories = [{ workflowId: workflow_id, history: decodeHistory(history) }];
  for await (const { error } of Worker.runReplayHistories(options, histories)) return error?.message ?? null;
  throw new Error('nothing was replayed');
}

describe('recorded histories', () => {
  let code = '';
  before(async () => {
    ({ code } = await testBundle());
  });

  it('are there of everything that both workflows do, in clear and encrypted', () => {
    for (const kind of ['device', 'approval']) {
      for (const name of scenarios) {
        const found = (ending: string) => files.filter((file) => file.endsWith(`-${kind}-${name}-1${ending}.json.gz`));
        for (const ending of ['', '-encrypted']) assert.ok(found(ending).length > 0, `${kind}, ${name}${ending}`);
      }
    }
  });

  for (const file of files) {
    it(`${basename(file, '.json.gz')} replays`, async () => assert.equal(await replay(read(file), code), null));
  }

  const changes: readonly (readonly [string, string, (code: string) => string])[] = [
    ['something else', 'device', (present) => present.replaceAll('fetchDeviceNews', 'fetchOtherNews')],
    [
      'the same in another order',
      'approval',
      (present) => present.replaceAll(/timer\.arm\(\);(\s+)show\(\);/g, 'show();$1timer.arm();'),
    ],
  ];
  for (const [what, kind, change] of changes) {
    it(`do not replay against workflows that ask for ${what} (FT-08)`, async () => {
      const file = files.find((name) => name.includes(`${kind}-rotation-1.`));
      assert.ok(file);
      const changed = change(code);
      assert.notEqual(changed, code);
      assert.match((await replay(read(file), changed)) ?? 'it replays', /nondeterminism|TMPRL1100/i);
    });
  }
});

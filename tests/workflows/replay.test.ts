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

  it('are there of both workflows, in clear and encrypted', () => {
    for (const kind of ['device', 'approval']) {
      for (const encrypted of [true, false]) {
        const found = files.filter((file) => file.includes(`-${kind}-`) && file.includes('-encrypted') === encrypted);
        assert.ok(found.length > 0, `${kind}, encrypted: ${encrypted}`);
      }
    }
  });

  for (const file of files) {
    it(`${basename(file, '.json.gz')} replays`, async () => assert.equal(await replay(read(file), code), null));
  }

  it('do not replay against workflows that ask for something else', async () => {
    const file = files.find((name) => name.includes('device-rotation') && !name.includes('encrypted'));
    assert.ok(file);
    const changed = code.replaceAll('fetchDeviceNews', 'fetchOtherNews');
    assert.notEqual(changed, code);
    assert.match((await replay(read(file), changed)) ?? 'it replays', /nondeterminism|Nondeterminism|TMPRL1100/);
  });
});

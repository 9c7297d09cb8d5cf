// sentinel completion: what is offered where, and that each shell really offers it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { aDevice, anApproval, approvalId } from '#tests/fakes/api-objects.ts';
import { problemAnswer, scriptedApi } from '#tests/fakes/scripted-api.ts';
import { requires } from '#tests/harness/requires.ts';
import { aHome, keepSession, runCommand, type Routes } from './run.ts';

const run = promisify(execFile);
const bin = fileURLToPath(new URL('../../../cli/bin.mjs', import.meta.url));
const devices = {
  body: { items: [aDevice(), aDevice({ device_id: 'lab-2' }), aDevice({ device_id: 'other' })], next_cursor: null },
};
const routes: Routes = {
  'GET /api/devices': devices,
  'GET /api/approvals': { body: { items: [anApproval()], next_cursor: null } },
};

async function offered(t: TestContext, words: string[], answers: Routes = routes) {
  const { exit, terminal } = await runCommand(t, ['__complete', '--', ...words], { routes: answers });
  assert.equal(exit, 0);
  return terminal.dataLines.map((line) => line.split('\t')[0]);
}

describe('what is offered', () => {
  it('nouns, verbs and options that begin like the word', async (t) => {
    assert.deepEqual(await offered(t, ['de']), ['device']);
    assert.ok((await offered(t, [''])).includes('status'));
    assert.ok(!(await offered(t, [''])).includes('__complete'));
    assert.deepEqual(await offered(t, ['device', 're']), ['reject', 'revoke', 'reset', 'retire']);
    assert.deepEqual(await offered(t, ['device', 'list', '--ti']), ['--tier']);
    assert.deepEqual(await offered(t, ['--json', 'device', 'list', '--ca']), ['--ca-file']);
  });

  it('the values that an option or argument knows', async (t) => {
    assert.deepEqual(await offered(t, ['device', 'list', '--tier', 'm']), ['monitored']);
    assert.deepEqual(await offered(t, ['completion', '']), ['bash', 'zsh', 'fish', 'pwsh']);
    assert.deepEqual(await offered(t, ['ca', 'issue', 'x', '--out', '']), []);
  });

  it('ids of devices and of open approvals', async (t) => {
    assert.deepEqual(await offered(t, ['device', 'show', 'lab']), ['lab-1', 'lab-2']);
    assert.deepEqual(await offered(t, ['--url', 'x', 'device', 'retire', 'other', 'lab']), ['lab-1', 'lab-2']);
    assert.deepEqual(await offered(t, ['device', 'retire', 'other', 'lab']), ['lab-1', 'lab-2']);
    assert.deepEqual(await offered(t, ['approval', 'show', '']), [approvalId]);
    assert.deepEqual(await offered(t, ['device', 'show', 'lab-1', '']), []);
  });

  it('no ids, and no error either, when the API refuses', async (t) => {
    assert.deepEqual(
      await offered(t, ['device', 'show', ''], { 'GET /api/devices': problemAnswer(503, 'service.unavailable') }),
      [],
    );
  });
});

describe('the shells', () => {
  /** A `sentinel` on the path, signed in at a scripted API. */
  async function aShell(t: TestContext, name: string) {
    const { url } = await scriptedApi(t, () => devices);
    const home = await aHome(t);
    await keepSession(home, { url, expires_at: '2999-01-01T00:00:00.000Z' });
    const program = join(home, 'sentinel');
    await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${bin}' "$@"\n`);
    await chmod(program, 0o755);
    const environment = { PATH: `${home}:/usr/bin:/bin`, HOME: home, SENTINEL_HOME: home, SENTINEL_URL: url };
    const { stdout: script } = await run(program, ['completion', name], { env: environment });
    await writeFile(join(home, 'script'), script);
    return async (text: string) =>
      (await run(name, name === 'zsh' ? ['-f', '-c', text] : ['-c', text], { env: environment, cwd: home })).stdout;
  }

  it('bash offers verbs, ids, and the part of an id behind a colon', async (t) => {
    const bash = await aShell(t, 'bash');
    const offer = (line: string) =>
      bash(`. ./script; COMP_LINE='${line}' COMP_POINT=${line.length}; _sentinel sentinel; echo "\${COMPREPLY[@]}"`);
    assert.equal(await offer('sentinel device app'), 'approve\n');
    assert.equal(await offer('sentinel device show lab'), 'lab-1 lab-2\n');
    assert.equal(await offer('sentinel device show '), 'lab-1 lab-2 other\n');
    assert.match(await bash('. ./script; complete -p sentinel'), /-F _sentinel sentinel/);
  });

  it('fish offers them with what they are', { skip: requires('fish') }, async (t) => {
    const fish = await aShell(t, 'fish');
    const offer = (line: string) => fish(`source ./script; complete -C '${line}'`);
    assert.match(await offer('sentinel device show lab'), /^lab-1\tapproved, monitored\nlab-2\t/);
    assert.match(await offer('sentinel device list --tier '), /^monitored/m);
  });

  it('zsh reads its script, which completes sentinel', { skip: requires('zsh') }, async (t) => {
    const zsh = await aShell(t, 'zsh');
    const out = await zsh('autoload -U compinit; compinit -u -D; . ./script; print -- $_comps[sentinel]');
    assert.equal(out, '_sentinel\n');
    const values = await zsh(
      'compdef() { : }; . ./script; _describe() { print -l -- $found }; words=(sentinel device show lab); CURRENT=4; _sentinel',
    );
    assert.equal(values, 'lab-1:approved, monitored\nlab-2:approved, monitored\n');
  });
});

// How the command line finds the API and its sign-in, and what it says when it does not.
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fakeTerminal } from '#tests/fakes/fake-terminal.ts';
import { problemAnswer } from '#tests/fakes/scripted-api.ts';
import { aHome, keepSession, runCommand } from './run.ts';

const devices = { 'GET /api/devices': { body: { items: [], next_cursor: null } } };
const loginAnswer = { token: 'new-token', expires_at: '2026-01-02T15:00:00.000Z', session_id: 's2' };
const login = { 'POST /api/admin/login': { body: loginAnswer } };

describe('the command line', () => {
  it('says what to do when nothing runs and no address is given', async (t) => {
    const { exit, talk } = await runCommand(t, 'device list', { signedIn: false, environment: { SENTINEL_URL: '' } });
    assert.equal(exit, 1);
    assert.match(talk, /npm start/);
  });

  it('says how to sign in when nobody is', async (t) => {
    const { exit, talk, seen } = await runCommand(t, 'device list', { signedIn: false });
    assert.equal(exit, 1);
    assert.match(talk, /sentinel login/);
    assert.equal(seen.length, 0);
  });

  it('sends SENTINEL_TOKEN before the token of the kept session', async (t) => {
    const kept = await runCommand(t, 'device list', { routes: devices });
    assert.equal(kept.seen[0]?.headers.authorization, 'Bearer kept-token');
    const given = await runCommand(t, 'device list', { routes: devices, environment: { SENTINEL_TOKEN: 'given' } });
    assert.equal(given.seen[0]?.headers.authorization, 'Bearer given');
  });

  it('never sends the kept token to another address', async (t) => {
    const home = await aHome(t);
    await keepSession(home, { url: 'https://elsewhere.example' });
    const { exit, seen } = await runCommand(t, 'device list', { routes: devices, home, signedIn: false });
    assert.equal(exit, 1);
    assert.equal(seen.length, 0);
  });

  it('says so when the kept session has run out', async (t) => {
    const home = await aHome(t);
    const first = await runCommand(t, 'device list', { routes: devices, home });
    await keepSession(home, { url: first.url, expires_at: '2026-01-02T03:04:05.000Z' });
    const { exit, talk } = await runCommand(t, `device list --url ${first.url}`, { home, signedIn: false });
    assert.equal(exit, 1);
    assert.match(talk, /has ended[^]*sentinel login/);
  });

  it('finds the installation that runs here', async (t) => {
    const home = await aHome(t);
    const elsewhere = await runCommand(t, 'device list', { routes: devices });
    await writeFile(join(home, 'instance.json'), JSON.stringify({ api_url: elsewhere.url, ca_file: null }));
    const { exit } = await runCommand(t, 'device list', {
      home,
      signedIn: false,
      environment: { SENTINEL_URL: '', SENTINEL_TOKEN: 'given' },
    });
    assert.equal(exit, 0);
    assert.equal(elsewhere.seen.at(-1)?.headers.authorization, 'Bearer given');
  });

  it('acts in the project that is named', async (t) => {
    const { seen } = await runCommand(t, 'device list --project lab', { routes: devices });
    assert.equal(seen[0]?.headers['x-sentinel-project'], 'lab');
  });

  it('refuses addresses that would show the token to others', async (t) => {
    for (const url of ['http://sentinel.example', 'ftp://localhost', 'https://a:b@localhost', 'localhost:8443']) {
      const { exit } = await runCommand(t, `device list --url ${url}`, {});
      assert.equal(exit, 2, url);
    }
  });

  it('says which authority file is missing', async (t) => {
    const { exit, talk } = await runCommand(t, 'device list --ca-file nowhere.pem', {});
    assert.equal(exit, 1);
    assert.match(talk, /nowhere\.pem cannot be read[^]*--ca-file/);
  });

  it('says in words what an id has to look like, and what to correct', async (t) => {
    const errors = [
      { field: 'device_id', message: 'must match pattern "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"' },
      { field: 'id', message: 'must match pattern "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"' },
      { field: 'limit', message: 'must be <= 500' },
    ];
    const routes = { 'GET /api/devices': problemAnswer(400, 'request.invalid', { errors }) };
    const { talk } = await runCommand(t, 'device list', { routes });
    assert.match(talk, /device_id: is no device id: letters, digits and \. _ : - only/);
    assert.match(talk, /\bid: is no id: the lists show/);
    assert.match(talk, /limit: must be <= 500/);
    assert.doesNotMatch(talk, /errors\[\]|\^\[/);
  });

  it('leads from a setting that cannot be read to the page of settings', async (t) => {
    const { exit, talk } = await runCommand(t, 'status', { environment: { SENTINEL_PORT: 'abc' } });
    assert.equal(exit, 1);
    assert.match(talk, /SENTINEL_PORT: say a whole number\n {2}→ Look it up in docs\/settings\.md/);
  });

  it('prints a refusal as one object on standard error with --json', async (t) => {
    const routes = { 'GET /api/devices': problemAnswer(403, 'auth.forbidden', { detail: 'device.read is missing' }) };
    const { exit, out, talk } = await runCommand(t, 'device list --json', { routes });
    assert.equal(exit, 1);
    assert.equal(out, '');
    assert.deepEqual(JSON.parse(talk), {
      error: {
        message: 'A title',
        detail: 'device.read is missing',
        fields: [],
        advice: 'Ask somebody with the permission named in detail.',
        code: 'auth.forbidden',
        request_id: 'req-1',
      },
    });
  });

  it('ends with 2 when it is called in a wrong way, and 0 for help and version', async (t) => {
    for (const words of [
      '',
      'device',
      'nonsense',
      'device list --limit 100001',
      'device list --tier best',
      'device show',
    ]) {
      assert.equal((await runCommand(t, words)).exit, 2, words);
    }
    for (const words of ['--help', 'device --help', '--version']) {
      assert.equal((await runCommand(t, words)).exit, 0, words);
    }
  });

  it('says which setting is wrong', async (t) => {
    const { exit, talk } = await runCommand(t, 'device list', { environment: { SENTINEL_PORT: 'many' } });
    assert.equal(exit, 1);
    assert.match(talk, /SENTINEL_PORT: say a whole number/);
  });
});

describe('sentinel login', () => {
  it('reads the password from standard input and keeps the session private', async (t) => {
    const terminal = fakeTerminal({ input: 'correct horse\n' });
    const result = await runCommand(t, 'login --username ada', { routes: login, terminal, signedIn: false });
    assert.equal(result.exit, 0);
    assert.deepEqual(result.seen[0]?.body, { username: 'ada', password: 'correct horse' });
    const file = join(result.home, 'cli-session.json');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), {
      url: result.url,
      ca_file: null,
      username: 'ada',
      ...loginAnswer,
    });
  });

  it('prints neither token nor password', async (t) => {
    for (const words of ['login --username ada', 'login --username ada --json']) {
      const terminal = fakeTerminal({ input: 'correct horse' });
      const { out, talk } = await runCommand(t, words, { routes: login, terminal, signedIn: false });
      assert.doesNotMatch(out + talk, /new-token|correct horse/);
    }
  });

  it('reads the password from a file', async (t) => {
    const home = await aHome(t);
    await writeFile(join(home, 'password'), 'from file\nnot this\n');
    const words = 'login --username ada --password-file password --totp 123456';
    const { seen } = await runCommand(t, words, { routes: login, home, signedIn: false });
    assert.deepEqual(seen[0]?.body, { username: 'ada', password: 'from file', totp: '123456' });
  });

  it('asks a person for name and password', async (t) => {
    const terminal = fakeTerminal({ answers: ['ada', 'typed'] });
    const { seen } = await runCommand(t, 'login', { routes: login, terminal, signedIn: false });
    assert.deepEqual(seen[0]?.body, { username: 'ada', password: 'typed' });
  });

  it('takes no password as an argument', async (t) => {
    assert.equal((await runCommand(t, 'login --username ada --password secret', { signedIn: false })).exit, 2);
    assert.equal((await runCommand(t, 'login --username ada', { signedIn: false })).exit, 2);
  });

  it('keeps no session when the sign-in is refused', async (t) => {
    const routes = { 'POST /api/admin/login': problemAnswer(401, 'auth.invalid_credentials') };
    const terminal = fakeTerminal({ input: 'wrong' });
    const { exit, home } = await runCommand(t, 'login --username ada', { routes, terminal, signedIn: false });
    assert.equal(exit, 1);
    await assert.rejects(stat(join(home, 'cli-session.json')), { code: 'ENOENT' });
  });
});

describe('sentinel logout', () => {
  it('ends the session on the server and here', async (t) => {
    const { exit, home, seen } = await runCommand(t, 'logout', { routes: { 'POST /api/admin/logout': {} } });
    assert.equal(exit, 0);
    assert.equal(seen[0]?.headers.authorization, 'Bearer kept-token');
    await assert.rejects(stat(join(home, 'cli-session.json')), { code: 'ENOENT' });
  });

  it('forgets a session that has ended already', async (t) => {
    const routes = { 'POST /api/admin/logout': problemAnswer(401, 'auth.session_ended') };
    assert.equal((await runCommand(t, 'logout', { routes })).exit, 0);
  });

  it('forgets the session but fails when the server was not told', async (t) => {
    const routes = { 'POST /api/admin/logout': problemAnswer(500, 'internal.error') };
    const { exit, home, talk } = await runCommand(t, 'logout', { routes });
    assert.equal(exit, 1);
    assert.match(talk, /ends by itself 2026-01-02 12:00:00Z/);
    await assert.rejects(stat(join(home, 'cli-session.json')), { code: 'ENOENT' });
  });
});

// `npm start` as a person and as a machine use it: ready, refused, killed in every way, and stopped.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Instance } from '#contracts/instance.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { listeners } from '#tests/harness/listeners.ts';
import {
  nothingLeft,
  npmStart,
  pidOf,
  type Place,
  placeForStart,
  processesOf,
  type Start,
} from '#tests/harness/npm-start.ts';
import { rowsOf } from '#tests/harness/postgres.ts';
import { eventually } from '#tests/harness/eventually.ts';

const parts = ['supervisor', 'postgres', 'temporal', 'worker', 'sealer', 'api'];

/** Without devices, unless a test says otherwise. */
const start = (here: Place, ...args: string[]): Start => npmStart(here, '--demo', '0', ...args);

describe('npm start', () => {
  const end = cleanupAfterAll();

  it('says where everything is when all is ready, in a file and on the screen, and shows no password', async () => {
    const here = await placeForStart(end);
    const first = start(here);
    const instance = await first.ready();
    const address = `https://localhost:${here.settings['SENTINEL_PORT']}`;
    const secrets = join(here.home, 'secrets');
    const { database_url, pids, ...plain } = instance;
    assert.deepEqual(plain, {
      api_url: address,
      console_url: `${address}/`,
      temporal_address: `127.0.0.1:${here.settings['SENTINEL_TEMPORAL_PORT']}`,
      temporal_namespace: 'default',
      temporal_ui_url: `${address}/temporal/`,
      ca_file: join(here.home, 'ca', 'ca.crt'),
      admin_username: 'admin',
      admin_password_file: join(secrets, 'admin.password'),
    });
    assert.deepEqual(Object.keys(pids).toSorted(), parts.toSorted());
    assert.equal((await stat(join(here.home, 'instance.json'))).mode & 0o777, 0o600);
    assert.equal((await stat(here.home)).mode & 0o777, 0o700);
    assert.deepEqual(await rowsOf(database_url, 'SELECT current_user AS name'), [{ name: 'sentinel' }]);

    await eventually(() => first.output().includes('Ctrl-C'), 'the screen is whole', 5_000);
    assert.ok(first.output().includes(plain.admin_password_file ?? ''));
    for (const name of await readdir(secrets)) {
      const path = join(secrets, name);
      assert.equal((await stat(path)).mode & 0o777, 0o600, name);
      assert.ok(!first.output().includes((await readFile(path, 'utf8')).trim()), name);
    }

    for (const [name, pid] of Object.entries(pids))
      for (const listener of listeners(pid))
        assert.match(listener, /^127\.0\.0\.1:|^0{24}01000000:|^0{8}0{8}0{8}01000000:/, name);

    const again = start(here);
    assert.deepEqual(await again.ended(), [1, null]);
    assert.match(
      again.output(),
      new RegExp(`already runs in ${here.home}: process ${pids['supervisor']}, since \\d{4}-`),
    );
    assert.equal(await readFile(join(here.home, 'instance.json'), 'utf8').then((text) => text.includes(address)), true);

    const elsewhere = await placeForStart(end);
    const onSamePorts = start({ ...here, home: elsewhere.home });
    assert.deepEqual(await onSamePorts.ended(), [1, null]);
    assert.match(onSamePorts.output(), /SENTINEL_PORT: port \d+ on 127\.0\.0\.1 is taken/);

    const beside = start(elsewhere);
    assert.notEqual((await beside.ready()).pids['postgres'], pids['postgres']);

    for (const [running, { home }] of [
      [first, here],
      [beside, elsewhere],
    ] as const) {
      const began = performance.now();
      running.npm.kill('SIGTERM');
      await running.ended();
      await nothingLeft(home);
      assert.ok(performance.now() - began < 10_000);
      await assert.rejects(stat(join(home, 'instance.json')), { code: 'ENOENT' });
    }
  });

  it('starts a part again that was killed, and ends with a clear error when that does not help', async () => {
    const here = await placeForStart(end);
    const running = start(here);
    await running.ready();
    for (const part of ['postgres', 'temporal', 'sealer', 'api']) {
      const killed = await pidOf(here, part);
      process.kill(killed, 'SIGKILL');
      await pidOf(here, part, killed);
    }
    let worker = 0;
    for (let death = 1; death <= 5; death += 1) {
      worker = await pidOf(here, 'worker', worker);
      process.kill(worker, 'SIGKILL');
    }
    assert.deepEqual(await running.ended(), [1, null]);
    assert.match(
      running.output(),
      /Worker died 5 times within a minute\. Worker ended by SIGKILL\.\nThe end of .*worker\.log:/,
    );
    await nothingLeft(here.home);
    await assert.rejects(stat(join(here.home, 'instance.json')), { code: 'ENOENT' });
  });

  it('goes on where it was after every process, or only the supervisor, or npm was killed', async () => {
    const here = await placeForStart(end);
    let running = start(here);
    let instance = await running.ready();
    await rowsOf(instance.database_url, 'CREATE TABLE kept (n int)');
    const password = await readFile(instance.admin_password_file ?? '', 'utf8');
    const kills: readonly ((now: Instance, npm: ChildProcess) => unknown)[] = [
      ({ pids }) => Object.values(pids).forEach((pid) => process.kill(pid, 'SIGKILL')),
      ({ pids: { supervisor } }) => supervisor !== undefined && process.kill(supervisor, 'SIGKILL'),
      (_, npm) => npm.kill('SIGKILL'),
    ];
    for (const [round, kill] of kills.entries()) {
      await rowsOf(instance.database_url, `INSERT INTO kept VALUES (${round})`);
      kill(instance, running.npm);
      await running.ended();
      running = start(here);
      instance = await running.ready();
      assert.deepEqual(await rowsOf(instance.database_url, 'SELECT count(*)::int AS n FROM kept'), [{ n: round + 1 }]);
      assert.equal(await readFile(instance.admin_password_file ?? '', 'utf8'), password);
    }
    const own = new Set(processesOf(here.home));
    for (const pid of Object.values(instance.pids)) assert.ok(own.has(pid));
    running.npm.kill('SIGINT');
    await running.ended();
    await nothingLeft(here.home);
  });

  it('leaves nothing when it is stopped while it starts', async () => {
    const here = await placeForStart(end);
    const running = start(here);
    await eventually(() => running.output().includes('Postgres … ready'), 'Postgres is ready', 60_000);
    running.npm.kill('SIGTERM');
    await running.ended();
    await nothingLeft(here.home);
    await assert.rejects(stat(join(here.home, 'instance.json')), { code: 'ENOENT' });
  });

  it('names every setting and option that is wrong, before anything is started', async () => {
    const here = await placeForStart(end);
    const wrong = start({ ...here, settings: { ...here.settings, SENTINEL_PORT: 'x', SENTINEL_DATABASE_POOL: '1' } });
    assert.deepEqual(await wrong.ended(), [1, null]);
    assert.match(wrong.output(), /SENTINEL_PORT: say a whole number\nSENTINEL_DATABASE_POOL: must be at least 2/);
    const half = start({ ...here, settings: { ...here.settings, SENTINEL_TLS_CERT: '/x.crt' } });
    assert.deepEqual(await half.ended(), [1, null]);
    assert.match(half.output(), /SENTINEL_TLS_CERT, SENTINEL_TLS_KEY, SENTINEL_TLS_CA: set all three or none/);
    const option = start(here, '--demo', 'many');
    assert.deepEqual(await option.ended(), [1, null]);
    assert.match(option.output(), /--demo: say a number from 0 to 10000/);
  });
});

// sentinel-agent as a process: its commands, what it prints, and how it ends.
import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { problemAnswer, scriptedApi, type Script } from '#tests/fakes/scripted-api.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { agentFolder, issuedDevice, mutualTls, runAgent, startAgent } from '#tests/harness/agent.ts';

const answered = (status: 'accepted' | 'pending', next = 15) => ({
  status: status === 'accepted' ? 200 : 202,
  body: {
    status,
    trust_tier: status === 'accepted' ? 'monitored' : 'observed',
    commands: [],
    attestation_challenge: null,
    acknowledged: [],
    next_heartbeat_seconds: next,
  },
});

async function aDevice(t: TestContext, script: Script = () => answered('accepted')) {
  const { folder, ca } = await issuedDevice(t);
  const api = await scriptedApi(t, script, mutualTls(ca));
  const identity = ['--identity', folder, '--url', api.url];
  return { folder, ca, api, identity };
}

const counterOf = ({ body }: { body: unknown }): number => (body as { heartbeat_counter: number }).heartbeat_counter;

describe('sentinel-agent', () => {
  it('says how it is used, and its version', async (t) => {
    const [help, version] = await Promise.all([runAgent(t, ['--help']), runAgent(t, ['version'])]);
    assert.equal(help.code, 0);
    assert.match(help.out, /sentinel-agent preflight/);
    assert.equal(version.code, 0);
    const packageFile = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
    assert.equal(version.out, `${(JSON.parse(packageFile) as { version: string }).version}\n`);
  });

  it('ends with 2 when it is called in a wrong way, and says how to call it', async (t) => {
    const folder = await agentFolder(t);
    const wrong = [
      ['fly'],
      ['run', 'away'],
      ['run', '--speed', '9'],
      ['run', '--out', 'x'],
      ['init'],
      ['run', '--url', 'https://localhost:1'],
      ['run', '--config', 'a', '--identity', 'b'],
      ['constructor'],
    ];
    const ends = await Promise.all(wrong.map(async (args) => runAgent(t, args, { directory: folder })));
    for (const [index, { code, errors, out }] of ends.entries()) {
      assert.equal(code, 2, wrong[index]?.join(' '));
      assert.match(errors, /Usage:/);
      assert.equal(out, '');
    }
  });

  it('ends with 2 and every reason when its configuration cannot be used (AG-03)', async (t) => {
    const folder = await agentFolder(t);
    const file = join(folder, 'config.json');
    await writeFile(file, '{"device": "lab-1", "server_url": "http://x"}');
    const [none, wrong] = await Promise.all([
      runAgent(t, ['run'], { directory: folder }),
      runAgent(t, ['run', '--config', 'config.json'], { directory: folder }),
    ]);
    assert.equal(none.code, 2);
    assert.match(none.errors, /agent\/config\.json does not exist\n.*→ .*config\.example\.json/);
    assert.equal(wrong.code, 2);
    for (const reason of [
      /"device" is not a key/,
      /Did you mean device_id/,
      /server_url does not have/,
      /state_path is missing/,
    ])
      assert.match(wrong.errors, reason);
  });

  it('sends one heartbeat with --once, and ends as it was answered', async (t) => {
    const answers = [
      answered('accepted'),
      answered('pending'),
      problemAnswer(403, 'certificate.revoked'),
      problemAnswer(503, 'service.unavailable', {}, { 'retry-after': '7' }),
      { hangUp: true } as const,
    ];
    const { api, identity } = await aDevice(t, (_request, index) => answers[index] ?? {});
    const ends = [];
    for (let index = 0; index < answers.length; index += 1)
      ends.push(await runAgent(t, ['run', '--once', ...identity, ...(index === 1 ? ['--json'] : [])]));
    assert.deepEqual(
      ends.map(({ code }) => code),
      [0, 3, 1, 1, 1],
    );
    assert.deepEqual(JSON.parse(ends[1]?.out ?? ''), {
      outcome: 'pending',
      message: 'Waiting for approval',
      next_heartbeat_seconds: 15,
      advice: 'Approve it in the console, or with: sentinel device approve lab-1',
    });
    assert.match(ends[2]?.errors ?? '', /certificate\.revoked/);
    const counters = api.seen.map(counterOf);
    assert.deepEqual(
      counters,
      [...new Set(counters)].toSorted((a, b) => a - b),
    );
  });

  it('ends with 2 when its state is damaged or another agent uses it', async (t) => {
    const { folder, identity } = await aDevice(t);
    await writeFile(join(folder, 'state.json'), 'garbage');
    const damaged = await runAgent(t, ['run', ...identity]);
    assert.equal(damaged.code, 2);
    assert.match(damaged.errors, /state\.json is damaged\n.*reset the device/);

    await writeFile(join(folder, 'state.json'), '{"device_id":"lab-1","next_heartbeat_counter":5}');
    const first = startAgent(t, ['run', ...identity]);
    await first.line(/are accepted/);
    const second = await runAgent(t, ['run', '--once', ...identity]);
    assert.equal(second.code, 2);
    assert.match(second.errors, new RegExp(`held by a running agent, process ${first.child.pid}`));
  });

  it('is killed at any moment and goes on with a greater counter (AG-08)', async (t) => {
    const { api, identity } = await aDevice(t, () => answered('accepted', 1));
    for (let life = 0; life < 3; life += 1) {
      const agent = startAgent(t, ['run', ...identity]);
      await agent.line(/are accepted/);
      agent.child.kill('SIGKILL');
      assert.equal((await agent.ended).signal, 'SIGKILL');
    }
    const counters = api.seen.map(counterOf);
    assert.ok(counters.length >= 3);
    assert.deepEqual(
      counters,
      [...new Set(counters)].toSorted((a, b) => a - b),
    );
  });

  it('does not come back before a busy server wants it to', async (t) => {
    const times: number[] = [];
    const { identity } = await aDevice(t, (_request, index) => {
      times.push(performance.now());
      return index === 0 ? problemAnswer(429, 'rate.limited', {}, { 'retry-after': '2' }) : answered('accepted');
    });
    const agent = startAgent(t, ['run', ...identity]);
    await agent.line(/are refused/);
    await agent.line(/are accepted/);
    // A timer may fire a millisecond early.
    assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 1_990, String(times));
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    it(`stops on ${signal} while it waits for an answer, gives up its lock and says so`, async (t) => {
      const asked = Promise.withResolvers<void>();
      const { folder, identity } = await aDevice(t, () => {
        asked.resolve();
        return { silent: true };
      });
      const agent = startAgent(t, ['run', ...identity]);
      await asked.promise;
      agent.child.kill(signal);
      const { code, errors } = await agent.ended;
      assert.deepEqual([code, errors], [0, '']);
      assert.equal(agent.lines.at(-1)?.msg, 'The agent has stopped');
      await assert.rejects(stat(join(folder, 'state.json.lock')), { code: 'ENOENT' });
    });
  }

  it('tells systemd that it is ready, how it is, that it lives while it waits, and that it stops (AG-02)', async (t) => {
    const { folder, identity } = await aDevice(t);
    const heard = join(folder, 'heard');
    const program = `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> '${heard}'\n`;
    await writeFile(join(folder, 'systemd-notify'), program, { mode: 0o755 });
    const agent = startAgent(t, ['run', ...identity], {
      environment: {
        NOTIFY_SOCKET: '/run/notify',
        WATCHDOG_USEC: '2000000',
        PATH: `${folder}:${process.env['PATH'] ?? ''}`,
      },
    });
    const said = async () => (await readFile(heard, 'utf8').catch(() => '')).split('\n').slice(0, -1);
    await eventually(async () => (await said()).filter((line) => line.endsWith('WATCHDOG=1')).length >= 2, 'two signs');
    agent.child.kill('SIGTERM');
    assert.equal((await agent.ended).code, 0);
    const lines = (await said()).map((line) => line.replace('/run/notify ', ''));
    assert.match(lines[0] ?? '', /^--ready --status=/);
    assert.equal(lines[1], '--status=Heartbeats are accepted');
    assert.equal(lines.at(-1), '--stopping');
  });

  it('writes a configuration that it can run with, and never over another', async (t) => {
    const { folder, api, identity } = await aDevice(t);
    const init = ['init', ...identity, '--tag', 'lab', '--out', 'config.json'];
    const written = await runAgent(t, init, { directory: folder });
    assert.equal(written.code, 0, written.errors);
    const file = join(folder, 'config.json');
    assert.equal(written.out, `${file}\n`);
    const again = await runAgent(t, init, { directory: folder });
    assert.equal(again.code, 2);
    assert.match(again.errors, /exists already/);
    const [checked, sent] = [
      await runAgent(t, ['preflight', '--json', '--config', file]),
      await runAgent(t, ['run', '--once', '--config', file]),
    ];
    assert.equal(checked.code, 0, checked.out);
    assert.equal(sent.code, 0, sent.errors);
    const body = api.seen.at(-1)?.body as { device_id: string; tags: string[] };
    assert.deepEqual([body.device_id, body.tags], ['lab-1', ['lab']]);
  });

  it('takes the configuration of the checkout it is started in (AG-03)', async (t) => {
    const { folder, identity } = await aDevice(t);
    await mkdir(join(folder, 'agent'));
    assert.equal((await runAgent(t, ['init', ...identity], { directory: folder })).code, 0);
    assert.equal((await runAgent(t, ['run', '--once'], { directory: folder })).code, 0);
  });

  it('has a preflight that people and programs can read, and that fails when something is wrong', async (t) => {
    const { folder, identity } = await aDevice(t, () => ({ body: { status: 'ok' } }));
    const good = await runAgent(t, ['preflight', ...identity]);
    assert.equal(good.code, 0);
    assert.match(good.out, /^ok .*\n(.*\n)+The agent can run\.\n$/);
    await writeFile(join(folder, 'config.json'), '{"device_id": "lab-1"}');
    const wrong = await runAgent(t, ['preflight', '--json', '--config', join(folder, 'config.json')]);
    assert.equal(wrong.code, 1);
    const { passed, findings } = JSON.parse(wrong.out) as { passed: boolean; findings: { subject: string }[] };
    assert.equal(passed, false);
    assert.ok(findings.some(({ subject }) => subject === 'server_url'));
  });

  it('says that keys for later features have no effect', async (t) => {
    const { folder, identity } = await aDevice(t);
    await runAgent(t, ['init', ...identity, '--out', join(folder, 'config.json')]);
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object;
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify({ ...config, update_apply_command: ['/usr/bin/true'] }),
    );
    const agent = startAgent(t, ['run', '--config', join(folder, 'config.json')]);
    const line = await agent.line(/has no effect/);
    assert.deepEqual([line.level, line['key']], ['warn', 'update_apply_command']);
    await agent.line(/are accepted/);
  });
});

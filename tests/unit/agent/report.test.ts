// What an agent says while it runs: to its log, and to systemd.
import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createLog, type LogOptions } from '#agent/log.ts';
import { createReport } from '#agent/report.ts';
import { createServiceManager, systemdNotify } from '#agent/service-manager.ts';
import type { HeartbeatOutcome } from '#agent/heartbeat-schedule.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { agentFolder } from '#tests/harness/agent.ts';

const accepted: HeartbeatOutcome = { kind: 'answered', status: 'accepted', nextSeconds: 15 };
const pending: HeartbeatOutcome = { kind: 'answered', status: 'pending', nextSeconds: 15 };
const failed: HeartbeatOutcome = { kind: 'failed', reason: 'No connection.' };
const revoked: HeartbeatOutcome = {
  kind: 'refused',
  status: 403,
  code: 'certificate.revoked',
  retryAfterSeconds: null,
};

function reported(elapsed = { ms: 0 }) {
  const log = fakeLog();
  const statuses: string[] = [];
  const report = createReport({
    deviceId: 'lab-1',
    log,
    onStatus: (status) => void statuses.push(status),
    elapsedMs: () => elapsed.ms,
  });
  return { log, statuses, report, loud: () => log.lines.filter(({ level }) => level !== 'debug') };
}

describe('the report of an agent', () => {
  it('says what has changed, and nothing while it stays so', () => {
    const { report, statuses, loud } = reported();
    for (const outcome of [pending, pending, accepted, accepted, accepted, failed, failed, revoked, accepted])
      report.outcome(outcome);
    const expected = [
      'Waiting for approval',
      'Heartbeats are accepted',
      'Heartbeats do not get through',
      'Heartbeats are refused: This certificate was revoked (certificate.revoked)',
      'Heartbeats are accepted',
    ];
    assert.deepEqual(
      statuses,
      loud().map(({ message }) => message),
    );
    assert.equal(statuses.length, expected.length);
    assert.deepEqual(
      [...statuses].map((status) => status.split(':')[0]),
      expected.map((status) => status.split(':')[0]),
    );
  });

  it('says what to do about a refusal, and who has to approve', () => {
    const { report, log } = reported();
    report.outcome(pending);
    report.outcome(revoked);
    assert.match(log.text(), /sentinel device approve lab-1/);
    assert.match(log.text(), /certificate\.revoked/);
    assert.ok(log.lines.every(({ fields }) => 'advice' in fields));
  });

  it('sums up once an hour', () => {
    const elapsed = { ms: 0 };
    const { report, loud } = reported(elapsed);
    for (let heartbeat = 0; heartbeat <= 480; heartbeat += 1) {
      elapsed.ms = heartbeat * 15_000;
      report.outcome(heartbeat === 100 ? failed : accepted);
    }
    const sums = loud().filter(({ message }) => message.startsWith('Heartbeats since'));
    assert.deepEqual(
      sums.map(({ fields }) => fields),
      [
        { accepted: 240, pending: 0, refused: 0, unanswered: 1, minutes: 60 },
        { accepted: 240, pending: 0, refused: 0, unanswered: 0, minutes: 60 },
      ],
    );
  });

  it('says when the trust of the device changes', () => {
    const { report, loud } = reported();
    for (const tier of ['observed', 'observed', 'monitored', 'restricted'] as const) report.tier(tier);
    assert.deepEqual(
      loud().map(({ fields }) => fields),
      [
        { trust_tier: 'observed', before: null },
        { trust_tier: 'monitored', before: 'observed' },
        { trust_tier: 'restricted', before: 'monitored' },
      ],
    );
  });
});

describe('the log of an agent', () => {
  function written(options: Partial<LogOptions>) {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const log = createLog({ level: 'info', isTerminal: false, clock: fakeClock(), write, ...options });
    return { lines, log };
  }

  it('is JSON lines for machines, with what an error says', () => {
    const { lines, log } = written({});
    log.debug({}, 'not said');
    log.warn({ err: new Error('why\nso') }, 'Something');
    const [line, ...rest] = lines.map((text) => JSON.parse(text) as Record<string, unknown>);
    assert.deepEqual(rest, []);
    assert.deepEqual(
      [line?.['level'], line?.['time'], line?.['name'], line?.['msg']],
      ['warn', '2026-11-22T12:00:00.000Z', 'agent', 'Something'],
    );
    assert.match(JSON.stringify(line?.['err']), /"message":"why\\nso"/);
    assert.match(lines[0] ?? '', /^[^\n]+\n$/);
  });

  it('is plain lines at a terminal, which cannot be told anything by a server', () => {
    const { lines, log } = written({ isTerminal: true, level: 'debug' });
    log.info({ reason: '\u001b[2Jgone\n', nothing: null, count: 2, advice: 'Do \u0007this' }, 'Said');
    assert.match(lines[0] ?? '', /^12:00:00 .*info.* Said/);
    assert.match(lines[0] ?? '', /reason=\\u\{1b\}\[2Jgone\\u\{a\} {2}count=2/);
    assert.doesNotMatch(lines[0] ?? '', /nothing/);
    assert.match(lines[0] ?? '', /\n +→ Do \\u\{7\}this\n$/);
  });
});

describe('the service manager', () => {
  it('hears nothing when it has not asked', async () => {
    const manager = createServiceManager({ environment: {}, pid: 1, notify: async () => assert.fail('not asked') });
    manager.ready('x');
    manager.status('x');
    manager.stopping();
    assert.equal(manager.signEveryMs, null);
  });

  it('hears that the agent is ready, how it is, that it lives and that it stops, in this order (AG-02)', async () => {
    const environment = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' };
    const told: (readonly string[])[] = [];
    const over = Promise.withResolvers<void>();
    const notify = async (args: readonly string[]) => {
      told.push(args);
      if (args.includes('--stopping')) over.resolve();
    };
    const manager = createServiceManager({ environment, pid: 7, notify });
    manager.ready('Begins');
    manager.status('Heartbeats are accepted');
    manager.alive();
    manager.stopping();
    await over.promise;
    assert.deepEqual(told, [
      ['--ready', '--status=Begins'],
      ['--status=Heartbeats are accepted'],
      ['WATCHDOG=1'],
      ['--stopping'],
    ]);
    assert.equal(manager.signEveryMs, 15_000);
  });

  it('is not given signs of life that it wants of another process', () => {
    const environment = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' };
    assert.equal(createServiceManager({ environment, pid: 7 }).signEveryMs, null);
    assert.equal(createServiceManager({ environment: { NOTIFY_SOCKET: 'x' }, pid: 7 }).signEveryMs, null);
  });

  it('is spoken to by the program of systemd, and a failure of that is no failure of the agent', async (t) => {
    const folder = await agentFolder(t);
    const program = join(folder, 'systemd-notify');
    const heard = join(folder, 'heard');
    await writeFile(program, `#!/bin/sh\necho "$NOTIFY_SOCKET $SECRET $*" >> ${heard}\nexit 1\n`);
    await chmod(program, 0o755);
    const environment = { NOTIFY_SOCKET: '/run/notify', PATH: `${folder}:/usr/bin:/bin`, SECRET: 'not for it' };
    await systemdNotify(environment)(['--ready', '--status=Begins']);
    await systemdNotify({ ...environment, PATH: '/nowhere' })(['--stopping']);
    assert.equal(await readFile(heard, 'utf8'), '/run/notify  --ready --status=Begins\n');
  });
});

// Service definitions: what may go into one, what comes out, and whose files are written over or removed.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { FileProblem } from '#agent/file-problem.ts';
import {
  kindOf,
  runService,
  serviceKinds,
  type ServiceKindName,
  type ServiceRequest,
  type ServiceVerb,
} from '#agent/service/command.ts';
import { openSeal, seal, sealOf } from '#agent/service/seal.ts';
import { checkService, type Service } from '#agent/service/service.ts';
import { systemRandom as random } from '#contracts/deps.ts';
import { fakeSystem, type FakeSystemParts } from '#tests/fakes/fake-system.ts';
import { agentFolder } from '#tests/harness/agent.ts';

const { systemd, launchd, windows } = serviceKinds;
const kindNames = Object.keys(serviceKinds) as ServiceKindName[];

const badPosix = [
  '',
  '/',
  'agent',
  './agent',
  '/opt/../etc/agent',
  '/opt/./agent',
  '//opt/agent',
  '/opt/agent/',
  '/opt/a\nExecStartPre=/bin/sh',
  '/opt/a\r',
  '/opt/a\0',
  '/opt/"a',
  "/opt/'a",
  '/opt/%h',
  '/opt/$HOME',
  '/opt/`id`',
  '/opt/a;b',
  '/opt/a&b',
  '/opt/<b>',
  String.raw`/opt/a\x41`,
  '/opt/a=b',
  '/opt/a ',
  '/opt/ a',
  '/opt/\u202Ea',
  `/${'a'.repeat(600)}`,
];
const badWindows = [
  '',
  'C:',
  'C:\\',
  'C:/Sentinel/agent.exe',
  'Sentinel\\agent.exe',
  String.raw`\\server\share\agent.exe`,
  String.raw`C:\..\agent.exe`,
  String.raw`C:\a\..\b`,
  'C:\\a\\',
  String.raw`C:\%TEMP%\agent.exe`,
  String.raw`C:\a"b`,
  String.raw`C:\a&b`,
  String.raw`C:\<a>`,
  String.raw`C:\a|b`,
  String.raw`C:\a^b`,
  String.raw`C:\$(a)`,
  String.raw`C:\a:stream`,
  'C:\\a\nb',
  String.raw`C:\a.`,
  String.raw`C:\a `,
];

/** Values that could be something else than they are meant to be, by kind. */
const bad: Readonly<Record<ServiceKindName, Readonly<Record<keyof Service, readonly string[]>>>> = {
  systemd: {
    executable: badPosix,
    config: badPosix,
    user: ['', 'root', '0', 'a b', 'a\nUser=root', 'A', '%u', '-a', 'a'.repeat(40)],
  },
  launchd: { executable: badPosix, config: badPosix, user: ['', 'root', '0', 'a</string>', 'a\n', '&amp;'] },
  windows: {
    executable: badWindows,
    config: badWindows,
    user: ['', 'S-1-5-18', 'SYSTEM', 'Administrator', 'S-1-5-19</UserId>', 'S-1-5-190'],
  },
};

/** Characters that matter to one of the formats, and some that do not. */
const characters = [
  ...Array.from(`/\\.:"'<>&%$;#=\`()|^~*?[]{} \t\n\r\0`),
  'a',
  'B',
  '7',
  'é',
  '語',
  '\u202E',
  '-',
  '_',
  '@',
  '+',
];

function requestFor(name: ServiceKindName, verb: ServiceVerb, changes: Partial<ServiceRequest> = {}): ServiceRequest {
  const kind = serviceKinds[name];
  return { verb, kind, service: kind.defaults, output: null, force: false, ...changes };
}

/** Runs the command beside a machine whose service manager answers as the test says. */
async function run(request: ServiceRequest, parts: FakeSystemParts = {}) {
  const said: string[] = [];
  const told: string[] = [];
  const system = fakeSystem({ platform: request.kind.platform, ...parts });
  const isGood = await runService(request, {
    system,
    random,
    say: (text) => void said.push(text),
    tell: (line) => void told.push(line),
  });
  return { isGood, said: said.join(''), told: told.join('\n'), asked: system.looked };
}

const refusal = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FileProblem, String(error));
  assert.match(error.message, words);
  return true;
};

async function aFile(t: TestContext, name = 'sentinel-agent.service') {
  const folder = await agentFolder(t);
  return { folder, output: join(folder, name) };
}

describe('what goes into a service definition', () => {
  for (const name of kindNames) {
    for (const [option, values] of Object.entries(bad[name])) {
      it(`is no ${option} that could be more than one, for ${name} (AG-02)`, () => {
        const { defaults } = serviceKinds[name];
        for (const value of values) {
          assert.throws(
            () => checkService(serviceKinds[name], { ...defaults, [option]: value }),
            refusal(new RegExp(`--${option} does not fit`)),
            JSON.stringify(value),
          );
        }
      });
    }

    it(`comes out of it as it went in, and changes nothing else, for ${name}`, () => {
      const kind = serviceKinds[name];
      const start = name === 'windows' ? 'C:\\' : '/';
      const path = fc.array(fc.constantFrom(...characters), { maxLength: 24 }).map((parts) => start + parts.join(''));
      const lines = kind.render(kind.defaults).split('\n').length;
      let accepted = 0;
      fc.assert(
        fc.property(path, path, (executable, config) => {
          const service = { ...kind.defaults, executable, config };
          try {
            checkService(kind, service);
          } catch {
            return;
          }
          accepted += 1;
          const text = kind.render(service);
          assert.equal(text.split('\n').length, lines);
          // Nothing that is accepted needs to be escaped in any of the formats.
          assert.ok(text.includes(executable) && text.includes(config));
          assert.equal(
            text.replace(executable, kind.defaults.executable).replace(config, kind.defaults.config).length,
            kind.render(kind.defaults).length,
          );
        }),
        { numRuns: 3000, examples: [[kind.defaults.executable, kind.defaults.config]] },
      );
      assert.ok(accepted > 0);
    });
  }
});

describe('the systemd unit', () => {
  const rows = systemd
    .render(systemd.defaults)
    .split('\n')
    .filter((line) => /^[A-Z]\w+=/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
  const value = (key: string): string[] => rows.filter(([name]) => name === key).map(([, text]) => text);

  it('has systemd restart the agent, slower each time, and never gives up (AG-02)', () => {
    assert.deepEqual(value('Restart'), ['always']);
    assert.deepEqual(value('StartLimitIntervalSec'), ['0']);
    assert.deepEqual(
      [...value('RestartSec'), ...value('RestartSteps'), ...value('RestartMaxDelaySec')],
      ['5s', '8', '5min'],
    );
    assert.deepEqual([...value('Type'), ...value('NotifyAccess')], ['notify', 'all']);
  });

  it('keeps the agent from everything that it does not need', () => {
    const expected = {
      User: 'sentinel-agent',
      ExecStart: '"/usr/local/bin/sentinel-agent" run --config "/etc/sentinel-agent/config.json"',
      StateDirectory: 'sentinel-agent',
      CapabilityBoundingSet: '',
      NoNewPrivileges: 'yes',
      ProtectSystem: 'strict',
      ProtectHome: 'yes',
      PrivateDevices: 'yes',
      RestrictAddressFamilies: 'AF_INET AF_INET6 AF_UNIX',
      RestrictNamespaces: 'yes',
      MemoryMax: '256M',
      UMask: '0077',
    };
    for (const [key, text] of Object.entries(expected)) assert.deepEqual(value(key), [text], key);
    assert.deepEqual(value('SystemCallFilter'), ['@system-service', '~@privileged @resources']);
  });

  it('lets V8 make machine code', () => {
    assert.deepEqual(value('MemoryDenyWriteExecute'), []);
  });
});

describe('the task of Windows', () => {
  const text = windows.render(windows.defaults);

  it('is started by Windows, again and again, without limit of time, for LOCAL SERVICE (AG-02)', () => {
    for (const part of [
      '<BootTrigger>',
      '<Interval>PT5M</Interval>',
      '<MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>',
      '<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>',
      '<UserId>S-1-5-19</UserId>',
      '<RunLevel>LeastPrivilege</RunLevel>',
      '<DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>',
      '<StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>',
    ])
      assert.ok(text.includes(part), part);
  });

  it('can be seen by everybody who looks', () => {
    assert.ok(text.includes('<Hidden>false</Hidden>'));
  });
});

describe('the seal of a definition', () => {
  const whole = seal(launchd.render(launchd.defaults));

  it('tells what we made from what was changed since, and from what is not ours', () => {
    assert.equal(sealOf(whole), 'whole');
    assert.equal(sealOf(whole.replace('Background', 'Interactive')), 'changed');
    assert.equal(sealOf(`${whole}\n`), 'changed');
    assert.equal(sealOf(launchd.render(launchd.defaults)), 'changed');
    assert.equal(sealOf(''), 'none');
    assert.equal(sealOf('[Unit]\nDescription=Sentinel agent\n'), 'none');
  });

  it('is in a comment of every kind, once', () => {
    for (const name of kindNames) {
      const text = serviceKinds[name].render(serviceKinds[name].defaults);
      assert.equal(text.split(openSeal).length, 2, name);
      assert.match(text, name === 'systemd' ? /^# Made by/ : /^<\?xml .*\?>\n<!-- Made by .* -->\n/);
    }
  });
});

describe('sentinel-agent service', () => {
  it('prints each kind on any machine, and touches nothing (AG-02, DP-19)', async () => {
    for (const name of kindNames) {
      for (const platform of ['linux', 'darwin', 'win32'] as const) {
        const { isGood, said, asked } = await run(requestFor(name, 'print'), { platform });
        assert.equal(isGood, true);
        assert.equal(sealOf(said), 'whole');
        assert.deepEqual(asked, []);
      }
    }
  });

  for (const name of kindNames) {
    it(`writes, checks and removes a definition of ${name} (AG-02, DP-14, DP-19, DP-20)`, async (t) => {
      const { folder, output } = await aFile(t);
      const at = (verb: ServiceVerb) => run(requestFor(name, verb, { output }));
      assert.equal((await at('check')).isGood, false);
      assert.match((await at('write')).told, /is written/);
      assert.match((await at('write')).told, /is up to date/);
      const { isGood, asked } = await at('check');
      assert.equal(isGood, true);
      assert.deepEqual(asked, [], 'the service manager is left alone');
      assert.equal((await stat(output)).mode & 0o777, 0o644);
      assert.equal((await at('remove')).isGood, true);
      assert.deepEqual(await readdir(folder), []);
      assert.match((await at('remove')).told, /does not exist/);
    });
  }

  it('writes what Windows writes tasks in: UTF-16 with a byte order mark', async (t) => {
    const { output } = await aFile(t);
    await run(requestFor('windows', 'write', { output }));
    const bytes = await readFile(output);
    assert.deepEqual([...bytes.subarray(0, 2)], [0xff, 0xfe]);
    assert.equal(bytes.toString('utf16le').slice(1), (await run(requestFor('windows', 'print'))).said);
  });

  it('is readable by everybody whatever the umask says', async (t) => {
    const { output } = await aFile(t);
    const before = process.umask(0o077);
    t.after(() => void process.umask(before));
    await run(requestFor('systemd', 'write', { output }));
    assert.equal((await stat(output)).mode & 0o777, 0o644);
  });

  it('renders again what it made for other paths, and check says that it has to (DP-20)', async (t) => {
    const { output } = await aFile(t);
    await run(requestFor('systemd', 'write', { output }));
    const service = { ...systemd.defaults, executable: '/opt/sentinel/agent' };
    const { isGood, told } = await run(requestFor('systemd', 'check', { output, service }));
    assert.equal(isGood, false);
    assert.match(told, /for other paths/);
    assert.match((await run(requestFor('systemd', 'write', { output, service }))).told, /is written/);
    assert.equal((await run(requestFor('systemd', 'check', { output, service }))).isGood, true);
  });

  it('neither writes over nor removes what it did not make, or what was changed since, without --force', async (t) => {
    const { output } = await aFile(t);
    const foreign = '[Service]\nExecStart=/bin/true\n';
    const changed = seal(systemd.render(systemd.defaults)).replace('MemoryMax=256M', 'MemoryMax=1G');
    for (const [text, words] of [
      [foreign, /was not made by sentinel-agent/],
      [changed, /was changed by hand/],
      ['x'.repeat(70_000), /was not made by sentinel-agent/],
    ] as const) {
      await writeFile(output, text);
      for (const verb of ['write', 'remove'] as const)
        await assert.rejects(run(requestFor('systemd', verb, { output })), refusal(words));
      const { isGood, told } = await run(requestFor('systemd', 'check', { output }));
      assert.equal(isGood, false);
      assert.match(told, words);
      assert.equal(await readFile(output, 'utf8'), text);
    }
    assert.equal((await run(requestFor('systemd', 'write', { output, force: true }))).isGood, true);
    await writeFile(output, foreign);
    assert.equal((await run(requestFor('systemd', 'remove', { output, force: true }))).isGood, true);
    await assert.rejects(stat(output), { code: 'ENOENT' });
  });

  it('follows no link, not even with --force', async (t) => {
    const { folder, output } = await aFile(t);
    const target = join(folder, 'target');
    await writeFile(target, 'precious');
    await symlink(target, output);
    for (const verb of ['write', 'check', 'remove'] as const)
      await assert.rejects(run(requestFor('systemd', verb, { output, force: true })), refusal(/not a plain file/));
    assert.equal(await readFile(target, 'utf8'), 'precious');
  });

  it('says what to do about a folder that is missing or closed', async (t) => {
    const { folder } = await aFile(t);
    const output = join(folder, 'none', 'x.service');
    await assert.rejects(run(requestFor('systemd', 'write', { output })), refusal(/Make the folder first/));
    if (process.getuid?.() === 0) return;
    await chmod(folder, 0o500);
    await assert.rejects(run(requestFor('systemd', 'write', { output: join(folder, 'x') })), refusal(/sudo/));
  });

  it('has no place of its own on a machine of another kind', async () => {
    for (const verb of ['write', 'check', 'remove'] as const)
      await assert.rejects(
        run(requestFor('launchd', verb), { platform: 'linux' }),
        refusal(/has no launchd.*--output/),
      );
    assert.deepEqual(
      (['linux', 'darwin', 'win32', 'freebsd'] as const).map((platform) => kindOf(platform)),
      ['systemd', 'launchd', 'windows', null],
    );
  });
});

/** What each service manager prints about an agent that runs, and about one that does not. */
const states: Readonly<Record<ServiceKindName, { readonly running: string; readonly others: readonly string[] }>> = {
  systemd: {
    running: 'ActiveState=active\nSubState=running\nNeedDaemonReload=no\n',
    others: [
      'ActiveState=inactive\nSubState=dead\nNeedDaemonReload=no\n',
      'ActiveState=activating\nSubState=auto-restart\n',
      'ActiveState=active\nNeedDaemonReload=yes\n',
      'StatusText=ActiveState=active\n',
    ],
  },
  launchd: {
    running: 'system/sentinel.agent = {\n\tactive count = 1\n\tstate = running\n}\n',
    others: ['system/sentinel.agent = {\n\tstate = spawn scheduled\n}\n', ''],
  },
  windows: { running: 'Running\r\n', others: ['Ready\r\n', 'Disabled\r\n', ''] },
};

describe('an agent that a service manager runs', () => {
  const commandOf = ({ program, args }: { program: string; args: readonly string[] }): string =>
    [program, ...args].join(' ');

  /** A kind whose place is in a folder of the test. */
  async function installed(t: TestContext, name: ServiceKindName) {
    const { output: file } = await aFile(t);
    const kind = { ...serviceKinds[name], file };
    const request = (verb: ServiceVerb) => requestFor(name, verb, { kind });
    const { told } = await run(request('write'));
    return { file, kind, request, told };
  }

  it('is not said to be well when others can change what runs, or a folder above it', async (t) => {
    const { kind } = await installed(t, 'systemd');
    const { folder } = await aFile(t);
    const above = join(folder, 'bin');
    const executable = join(above, 'sentinel-agent');
    await mkdir(above, { mode: 0o755 });
    await writeFile(executable, '');
    const service = { ...kind.defaults, executable };
    const request = (verb: ServiceVerb) => requestFor('systemd', verb, { kind, service, force: true });
    await run(request('write'));
    const programs = { [commandOf(kind.state)]: states.systemd.running };
    const modes = [
      [0o755, 0o755, null],
      [0o775, 0o755, executable],
      [0o757, 0o755, executable],
      [0o755, 0o777, above],
      // As /tmp has it, and as some systems give /usr/local a group.
      [0o755, 0o1777, null],
      [0o755, 0o2775, null],
    ] as const;
    for (const [ofFile, ofFolder, open] of modes) {
      await chmod(executable, ofFile);
      await chmod(above, ofFolder);
      const { isGood, told } = await run(request('check'), { programs });
      assert.equal(isGood, open === null, told);
      if (open !== null) assert.ok(told.includes(`${open} can be changed by others`), told);
    }
  });

  it('cannot make the terminal of an administrator do what it says of itself', async (t) => {
    const { kind, request } = await installed(t, 'launchd');
    const programs = { [commandOf(kind.state)]: 'state = waiting\n\u001b]0;owned\u0007\u202e' };
    const { isGood, told } = await run(request('check'), { programs });
    assert.equal(isGood, false);
    assert.ok(told.includes('\\u{1b}]0;owned\\u{7}\\u{202e}'), told);
  });

  for (const name of kindNames) {
    it(`is found running, or not, by ${name} (DP-20)`, async (t) => {
      const { kind, request, told } = await installed(t, name);
      for (const line of kind.toStart) assert.ok(told.includes(line), line);
      const { running, others } = states[name];
      const found = await run(request('check'), { programs: { [commandOf(kind.state)]: running } });
      assert.equal(found.isGood, true);
      assert.match(found.told, /runs the agent/);
      for (const other of others) {
        const { isGood } = await run(request('check'), { programs: { [commandOf(kind.state)]: other } });
        assert.equal(isGood, false, other);
      }
      assert.equal((await run(request('check'))).isGood, false, 'nobody knows of it');
    });

    it(`is stopped before its definition is removed, by ${name} (DP-20)`, async (t) => {
      const { file, kind, request } = await installed(t, name);
      const steps = [...kind.toStop, ...kind.toForget].map(commandOf);
      const programs = Object.fromEntries(steps.map((step) => [step, '']));
      const { isGood, asked } = await run(request('remove'), {
        programs: { ...programs, [commandOf(kind.state)]: states[name].running },
      });
      assert.equal(isGood, true);
      assert.deepEqual(asked, [commandOf(kind.state), ...steps]);
      await assert.rejects(stat(file), { code: 'ENOENT' });
    });

    it(`keeps its definition when it cannot be stopped, by ${name}`, async (t) => {
      const { file, kind, request } = await installed(t, name);
      const programs = { [commandOf(kind.state)]: states[name].running };
      await assert.rejects(run(request('remove'), { programs }), refusal(/could not be stopped/));
      await stat(file);
    });
  }
});

// The agent as people get it: a bundle with one executable, and the services that run it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseConfig } from '#agent/config.ts';
import { systemClock as clock, systemRandom as random } from '#contracts/deps.ts';
import { targetNames, targetOf, targets } from '#deploy/agent/targets.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { scriptedApi } from '#tests/fakes/scripted-api.ts';
import { agentFolder, runAgent, startAgent, writeIdentity } from '#tests/harness/agent.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { linkedCheckout } from '#tests/harness/npm-start.ts';
import { blocksTypedBy, type CommandBlock } from '#tests/harness/page-commands.ts';
import { programPath, requires } from '#tests/harness/requires.ts';
import { startStack } from '#tests/harness/stack.ts';
import { requiresSystemdMachine, runSystemdMachine } from '#tests/harness/systemd-machine.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
const target = targetOf(process.platform, process.arch);
const typed = (page: string, beginning: string): readonly CommandBlock[] =>
  blocksTypedBy(import.meta.filename).filter((block) => block.page === page && block.text.includes(beginning));
const skip = target === null ? `there is no bundle for ${process.platform}-${process.arch}` : false;

describe('an agent bundle', { skip }, () => {
  const cleanup = cleanupAfterAll();
  let first: string;
  let unpacked: string;
  let executable: string;

  async function build(): Promise<string> {
    const out = join(await agentFolder(cleanup), 'bundles');
    await run(
      process.execPath,
      [join(root, 'deploy/agent/build-bundles.ts'), ...['--target', target ?? '', '--out', out]],
      { cwd: await agentFolder(cleanup), timeout: 400_000 },
    );
    return out;
  }

  before(
    async () => {
      const place = await linkedCheckout(cleanup);
      const here = (text: string): string => text.replaceAll('linux-x64', target ?? '');
      for (const { text } of typed('docs/agent-services.md', 'npm run build-agent-bundles'))
        await run('bash', ['--norc', '-euc', here(text)], { cwd: place, timeout: 400_000 });
      first = join(place, 'bundles');
      const archive = (await readdir(first)).find((name) => name.endsWith('.tar.gz')) ?? '';
      await run('tar', ['-xzf', join(first, archive), '-C', first]);
      unpacked = join(first, archive.replace('.tar.gz', ''));
      executable = join(unpacked, targets[target ?? 'linux-x64'].executable);
    },
    { timeout: 420_000 },
  );

  it('holds executable, configuration, service, guide and the digest of each (DP-22)', async () => {
    const { service, config, executable: program } = targets[target ?? 'linux-x64'];
    assert.deepEqual(
      (await readdir(unpacked)).toSorted(),
      [
        ...[program, service.file, 'LICENSE.node', 'README.md', 'SHA256SUMS', 'config.example.json', 'manifest.json'],
      ].toSorted(),
    );
    await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: unpacked });
    await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: first });
    const manifest = JSON.parse(await readFile(join(unpacked, 'manifest.json'), 'utf8')) as {
      version: string;
      target: string;
      files: Record<string, { sha256: string }>;
    };
    const packageFile = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    assert.equal(manifest.version, packageFile.version);
    assert.equal(manifest.target, target);
    const digest = createHash('sha256')
      .update(await readFile(executable))
      .digest('hex');
    assert.equal(manifest.files[program]?.sha256, digest);
    const example = await readFile(join(unpacked, 'config.example.json'), 'utf8');
    assert.equal(example, await readFile(join(root, config), 'utf8'));
    parseConfig(example, '/etc/sentinel-agent');
  });

  it('is the same bytes when it is built again, elsewhere (DP-22)', { timeout: 420_000 }, async () => {
    const second = await build();
    for (const name of await readdir(second))
      assert.ok((await readFile(join(first, name))).equals(await readFile(join(second, name))), name);
  });

  it('has an executable that needs nothing beside it, and takes no options from its environment (DP-22)', async (t) => {
    const environment = { NODE_OPTIONS: '--require /nowhere/evil.js', NODE_PATH: '/nowhere' };
    const version = await runAgent(t, ['version'], { executable, environment, directory: '/' });
    const packageFile = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    assert.deepEqual([version.code, version.out, version.errors], [0, `${packageFile.version}\n`, '']);
    const preflight = await runAgent(t, ['preflight', '--config', '/nowhere/config.json'], { executable });
    assert.equal(preflight.code, 1);
    assert.match(preflight.out, /\/nowhere\/config\.json does not exist/);
  });

  it('installs itself: its definitions name the executable that made them (AG-02, DP-14)', async (t) => {
    const { service } = targets[target ?? 'linux-x64'];
    const { out } = await runAgent(t, ['service', 'print'], { executable });
    assert.ok(out.includes(executable));
    const bundled = await runAgent(t, [
      'service',
      'check',
      '--kind',
      service.kind,
      '--output',
      join(unpacked, service.file),
    ]);
    assert.equal(bundled.code, 0, bundled.errors);
  });

  it('enrols on a whole Sentinel and sends heartbeats (DP-22, HB-01)', { timeout: 300_000 }, async (t) => {
    const stack = await startStack(t, { SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '1' });
    const folder = await agentFolder(t);
    await writeIdentity(folder, await stack.ca.issueDevice({ deviceId: 'packed-1' }), stack.ca.caCertificatePem);
    const identity = ['--identity', folder, '--url', stack.instance.api_url];
    const preflight = await runAgent(t, ['preflight', ...identity], { executable });
    assert.equal(preflight.code, 0, preflight.out);
    assert.equal((await runAgent(t, ['run', '--once', ...identity], { executable })).code, 3);
    const ann = await stack.as('ann');
    const review = await eventually(
      async () => (await ann.devices.get('packed-1')).pending_review,
      'a review of packed-1',
    );
    await ann.devices.identityReview('packed-1', { decision: 'approve', digest: review.digest });
    const agent = startAgent(t, ['run', ...identity], { executable });
    await agent.line(/Heartbeats are accepted/);
    agent.child.kill('SIGTERM');
    assert.equal((await agent.ended).code, 0);
  });

  it(
    'runs under systemd from the first command of its guide to the last, hardened as it is (AG-02, AG-08, DP-14)',
    { skip: target?.startsWith('linux') ? requiresSystemdMachine() : 'needs Linux', timeout: 240_000 },
    async (t) => {
      const folder = await agentFolder(t);
      const ca = await createDevelopmentCa(join(folder, 'authority'), { clock, random });
      const bodies: Record<string, unknown>[] = [];
      const api = await scriptedApi(
        t,
        ({ path, body }) => {
          if (path === '/api/heartbeat') bodies.push(body as Record<string, unknown>);
          return {
            body: {
              status: 'accepted',
              trust_tier: 'monitored',
              commands: [],
              attestation_challenge: null,
              acknowledged: [],
              next_heartbeat_seconds: 1,
            },
          };
        },
        {
          cert: ca.serverCertificatePem,
          key: ca.serverKeyPem,
          ca: ca.caCertificatePem,
          requestCert: true,
          rejectUnauthorized: true,
        },
      );
      const [install, configure, start, ...more] = typed('deploy/systemd/README.md', '');
      assert.ok(install !== undefined && configure !== undefined && start !== undefined && more.length === 0);
      const [fromPrintToRemove] = typed('docs/agent-services.md', 'service print');
      assert.ok(fromPrintToRemove !== undefined);
      const delivered = join(folder, 'delivered');
      await cp(unpacked, delivered, { recursive: true });
      await writeIdentity(delivered, await ca.issueDevice({ deviceId: 'my-server' }), ca.caCertificatePem);
      const programs = join(folder, 'programs');
      await mkdir(programs);
      const said = await runSystemdMachine({
        folder,
        files: { '/opt/sentinel': delivered, '/etc/pam.d': '/etc/pam.d', '/etc/security': '/etc/security' },
        writable: { '/usr/local/bin': programs },
        script: `
state() { systemctl show sentinel-agent --property="$1" --value; }
wait_for() { n=0; until [ "$(state "$1")" = "$2" ]; do n=$((n + 1)); [ $n -lt 300 ] || exit 9; sleep 0.1; done; }
cd /opt/sentinel
${install.text}
${configure.text}
sed -i 's|https://sentinel.example.com:8443|${api.url}|' /etc/sentinel-agent/config.json
echo == heartbeat without hardening
install -d -m 0700 -o sentinel-agent /var/lib/sentinel-agent
runuser -u sentinel-agent -- sentinel-agent run --once --config /etc/sentinel-agent/config.json
echo == started
${start.text}
wait_for StatusText 'Heartbeats are accepted'
id -u sentinel-agent
echo == killed
systemctl kill --signal=KILL --kill-whom=main sentinel-agent
wait_for NRestarts 1
wait_for StatusText 'Heartbeats are accepted'
systemctl show sentinel-agent --property=ActiveState,User,NoNewPrivileges,CapabilityBoundingSet
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$(state MainPID)/status
ls -ln /var/lib/sentinel-agent
echo == removed
${fromPrintToRemove.text}
state LoadState
sentinel-agent service check || echo check ends with $?
`,
      });
      const part = (name: string): string => said.split(`== ${name}\n`)[1]?.split('\n== ')[0] ?? `nothing:\n${said}`;
      assert.match(part('started'), /The agent can run\.[^]*is as this version renders it[^]*systemd runs the agent/);
      const user = /^(\d+)$/m.exec(part('started'))?.[1] ?? '';
      assert.ok(Number(user) > 0, said);
      assert.match(part('killed'), /ActiveState=active/);
      assert.match(part('killed'), /User=sentinel-agent/);
      assert.match(part('killed'), new RegExp(`Uid:\\t${user}`));
      assert.match(part('killed'), /CapEff:\t0{16}\nCapBnd:\t0{16}\nNoNewPrivs:\t1\nSeccomp:\t2/);
      assert.match(part('killed'), new RegExp(`-rw------- 1 ${user} \\d+ .* state\\.json`));
      assert.match(part('removed'), /is removed[^]*not-found[^]*does not exist[^]*check ends with 1/);

      const counters = bodies.map((body) => body['heartbeat_counter'] as number);
      assert.ok(counters.length >= 3, said);
      assert.deepEqual(
        counters,
        [...new Set(counters)].toSorted((a, b) => a - b),
        'also across the kill',
      );
      const facts = bodies.map((body) => ({ ...body, heartbeat_counter: 0 }));
      for (const seen of facts) assert.deepEqual(seen, facts[0], 'hardening hides nothing that is reported');
    },
  );
});

describe('service definitions, as other programs read them', () => {
  async function printed(kind: string, ...more: string[]): Promise<string> {
    const { stdout } = await run(process.execPath, [
      join(root, 'agent/main.ts'),
      'service',
      'print',
      '--kind',
      kind,
      ...more,
    ]);
    return stdout;
  }

  it('systemd knows every line of the unit (AG-02, DP-14)', { skip: requires('systemd-analyze') }, async (t) => {
    const unit = join(await agentFolder(t), 'sentinel-agent.service');
    await writeFile(unit, await printed('systemd', '--executable', '/usr/bin/true'));
    const { stderr } = await run(programPath('systemd-analyze'), ['verify', '--man=no', unit]);
    const remarks = stderr.split('\n').filter((line) => line.includes('sentinel-agent.service'));
    // Since systemd 254; one before that says so and goes on.
    const later = /Unknown key( name)? '(RestartSteps|RestartMaxDelaySec)' in section .*ignoring/;
    assert.deepEqual(
      remarks.filter((line) => !later.test(line)),
      [],
    );
  });

  it('systemd finds little exposed by the unit', { skip: requires('systemd-analyze') }, async (t) => {
    const unit = join(await agentFolder(t), 'sentinel-agent.service');
    await writeFile(unit, await printed('systemd'));
    // In tenths; a service without hardening has 9.6.
    await run(programPath('systemd-analyze'), ['security', '--no-pager', '--offline=true', '--threshold=15', unit]);
  });

  it(
    'a reader of property lists sees the daemon as it is meant (DP-19, AG-02)',
    { skip: requires('python3') },
    async () => {
      const reader = 'import json,plistlib,sys; json.dump(plistlib.loads(sys.stdin.buffer.read()), sys.stdout)';
      const plist = await printed('launchd', '--executable', '/opt/Sentinel Agent/bin/a+b', '--user', '_lab');
      const reading = run(programPath('python3'), ['-c', reader]);
      reading.child.stdin?.end(plist);
      assert.deepEqual(JSON.parse((await reading).stdout), {
        Label: 'sentinel.agent',
        ProgramArguments: [
          '/opt/Sentinel Agent/bin/a+b',
          'run',
          '--config',
          '/Library/Application Support/Sentinel/agent/config.json',
        ],
        UserName: '_lab',
        RunAtLoad: true,
        KeepAlive: true,
        ThrottleInterval: 30,
        ExitTimeOut: 10,
        ProcessType: 'Background',
        Umask: 0o077,
        SoftResourceLimits: { NumberOfFiles: 256 },
        StandardOutPath: '/Library/Logs/Sentinel/agent.log',
        StandardErrorPath: '/Library/Logs/Sentinel/agent.log',
      });
    },
  );

  it('a reader of XML sees the task as it is meant (AG-02, DP-14)', { skip: requires('python3') }, async (t) => {
    const file = join(await agentFolder(t), 'task.xml');
    const executable = String.raw`D:\Sentinel (x64)\agent.exe`;
    await run(process.execPath, [
      join(root, 'agent/main.ts'),
      ...['service', 'write', '--kind', 'windows', '--executable', executable, '--output', file],
    ]);
    const reader = `
import json, sys, xml.etree.ElementTree as tree
names = {'t': 'http://schemas.microsoft.com/windows/2004/02/mit/task'}
root = tree.parse(sys.argv[1]).getroot()
json.dump([root.find(path, names).text for path in sys.argv[2:]], sys.stdout)`;
    const { stdout } = await run(programPath('python3'), [
      ...['-c', reader, file],
      ...['t:Actions/t:Exec/t:Command', 't:Actions/t:Exec/t:Arguments', 't:Principals/t:Principal/t:UserId'],
    ]);
    assert.deepEqual(JSON.parse(stdout), [
      executable,
      String.raw`run --config "C:\ProgramData\Sentinel\agent\config.json"`,
      'S-1-5-19',
    ]);
  });
});

describe('the commands of a checkout', () => {
  for (const [prefix, kind] of [
    ['macos-launchd', 'launchd'],
    ['systemd', 'systemd'],
    ['windows-task', 'windows'],
  ] as const) {
    it(`npm run ${prefix}-preview, -render, -smoke and -uninstall (DP-19, DP-20)`, { timeout: 120_000 }, async (t) => {
      const output = join(await agentFolder(t), 'definition');
      const npm = (step: string, ...args: string[]) =>
        run('npm', ['run', '--silent', `${prefix}-${step}`, '--', ...args], { cwd: root });
      const preview = (await npm('preview')).stdout;
      await npm('render', '--output', output);
      const encoding = kind === 'windows' ? 'utf16le' : 'utf8';
      assert.equal((await readFile(output, encoding)).replace('\uFEFF', ''), preview);
      assert.match((await npm('smoke', '--output', output)).stderr, /as this version renders it/);
      await npm('uninstall', '--output', output);
      await assert.rejects(npm('smoke', '--output', output), { code: 1 });
    });
  }
});

it('every target has what goes into its bundle (DP-22)', async () => {
  for (const name of targetNames) {
    const { config, guide, executable } = targets[name];
    parseConfig(await readFile(join(root, config), 'utf8'), '/');
    assert.ok((await readFile(join(root, 'deploy', guide, 'README.md'), 'utf8')).includes(`${executable} `), name);
  }
});

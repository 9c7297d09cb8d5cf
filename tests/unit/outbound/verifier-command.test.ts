// The external verifier as a real process: whatever it does but answer, in time and in form, comes to no verdict.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Json } from '#contracts/deps.ts';
import { identify } from '#host/identity.mjs';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { createVerifierCommand, type VerifierCommandDeps } from '#outbound/verifier-command.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { circumstancesFor, quoteBasis, judgedAt } from '#tests/unit/protocols/judgements.ts';
import { quoteVector } from '#tests/unit/protocols/tpm-vectors.ts';

const vector = quoteVector('rsassa', 'sha256');
const request = {
  device_id: 'device-1',
  nonce: vector.challenge.nonce,
  attestation: vector.evidence as unknown as Json,
  policy: { require_hardware_binding: false },
};
const secret = 'hunter2hunter2';

interface Warning {
  readonly why: string;
  readonly said: string;
}

/** A verifier that is this script. */
function verifier(t: TestContext, script: string, limits: Partial<VerifierCommandDeps> = {}) {
  const warnings: Warning[] = [];
  const made = createVerifierCommand({
    command: [process.execPath, '-e', script],
    environment: {},
    timeoutMs: 20_000,
    maximumAtOnce: 2,
    maximumWaiting: 2,
    log: { warn: (fields) => warnings.push(fields as Warning) },
    ...limits,
  });
  t.after(() => made.close());
  return { ...made, warnings };
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-verifier-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const says = (text: string): string => `process.stdout.write(${JSON.stringify(text)})`;

const isRunning = (pid: number): boolean => identify(pid) !== null;

it('hands the request to the command and takes its JSON for the verdict (AT-03)', async (t) => {
  const echo = `let text = ''; process.stdin.on('data', (part) => (text += part)).on('end', () =>
    process.stdout.write(JSON.stringify({ valid: true, got: JSON.parse(text), argv: process.argv.slice(1) })))`;
  const { ask, warnings } = verifier(t, '', { command: [process.execPath, '-e', echo, '$(id)', ';ls'] });
  assert.deepEqual(await ask(request), { valid: true, got: request, argv: ['$(id)', ';ls'] });
  assert.deepEqual(warnings, []);
});

it('the example verifier answers so that the judge accepts the evidence (AT-03)', async (t) => {
  const program = join(import.meta.dirname, '../../../deploy/tpm/example-verifier.ts');
  const { ask, warnings } = verifier(t, '', { command: [process.execPath, program] });
  const basis = quoteBasis(vector, { verifier: 'command' });
  const judged = (external: Json) =>
    judgeEvidence({
      evidence: vector.evidence,
      circumstances: circumstancesFor(vector, { external }),
      basis,
      now: judgedAt,
    });
  const answer = await ask(request);
  assert.equal(judged(answer).outcome, 'verified', JSON.stringify(answer));
  const other = await ask({ ...request, nonce: Buffer.alloc(32, 1).toString('base64url') });
  assert.equal(judged(other).reason, 'verifier_refused');
  assert.deepEqual(warnings, []);
});

it('the command sees nothing of the environment of this process', async (t) => {
  process.env['SENTINEL_TEST_SECRET'] = secret;
  t.after(() => delete process.env['SENTINEL_TEST_SECRET']);
  const { ask } = verifier(t, 'process.stdout.write(JSON.stringify(process.env))', { environment: { LANG: 'C' } });
  assert.deepEqual(await ask(request), { LANG: 'C' });
});

describe('what is no verdict is null, and refused (AT-14)', () => {
  const bad: Readonly<Record<string, { script: string; why: RegExp; limits?: Partial<VerifierCommandDeps> }>> = {
    silence: { script: '', why: /JSON/ },
    garbage: { script: says('valid'), why: /JSON/ },
    'two answers': { script: says('{"valid":true}{"valid":true}'), why: /JSON/ },
    'a key twice': { script: says('{"valid":false,"valid":true}'), why: /JSON/ },
    'a key of prototypes': { script: says('{"valid":true,"__proto__":{}}'), why: /JSON/ },
    'bytes that are not UTF-8': { script: 'process.stdout.write(Buffer.from([0x22, 0xff, 0x22]))', why: /JSON/ },
    null: { script: says('null'), why: /JSON/ },
    'too much': { script: `setInterval(() => process.stdout.write('[' + ' '.repeat(1000)))`, why: /more than 65536/ },
    'a failure after a good answer': { script: `${says('{"valid":true}')}; process.exitCode = 3`, why: /exit code 3/ },
    'a signal after a good answer': {
      script: `process.stdout.write('{"valid":true}', () => process.kill(process.pid, 'SIGTERM'))`,
      why: /SIGTERM/,
    },
    'an answer without an end': {
      script: `${says('{"valid":true}')}; setInterval(() => 0, 1000)`,
      why: /longer than 300 ms/,
      limits: { timeoutMs: 300 },
    },
    'a program that is not there': { script: '', why: /cannot be started/, limits: { command: ['/nowhere/verify'] } },
    'a file that is no program': {
      script: '',
      why: /cannot be started/,
      limits: { command: [join(import.meta.dirname, 'verifier-command.test.ts')] },
    },
  };
  for (const [name, { script, why, limits }] of Object.entries(bad)) {
    it(name, async (t) => {
      const { ask, warnings } = verifier(t, script, limits);
      assert.equal(await ask(request), null);
      assert.match(warnings[0]?.why ?? '', why);
      assert.equal(warnings.length, 1);
    });
  }
});

it('a command that does not read what it is asked may answer all the same', async (t) => {
  const { ask } = verifier(t, `process.stdin.destroy(); ${says('{"valid":false}')}`);
  const attestation = 'x'.repeat(1024 * 1024);
  assert.deepEqual(await ask({ ...request, attestation }), { valid: false });
});

it('at the time limit it ends the command with its children, whatever signals they ignore (AT-12)', async (t) => {
  const folder = await folderOf(t);
  const pids = join(folder, 'pids');
  const child = `process.on('SIGTERM', () => 0); require('node:fs').appendFileSync(process.argv[1], process.pid + '\\n'); setInterval(() => 0, 1000)`;
  const script = `process.on('SIGTERM', () => 0); const { spawn } = require('node:child_process');
    for (let i = 0; i < 2; i += 1) spawn(process.execPath, ['-e', ${JSON.stringify(child)}, ${JSON.stringify(pids)}], { stdio: 'inherit' });
    require('node:fs').appendFileSync(${JSON.stringify(pids)}, process.pid + '\\n'); setInterval(() => 0, 1000)`;
  const { ask, warnings } = verifier(t, script, { timeoutMs: 6_000 });
  const answer = ask(request);
  const started = await eventually(async () => {
    const found = (await readFile(pids, 'utf8').catch(() => '')).trim().split('\n').map(Number);
    return found.length === 3 && found;
  }, 'the command and its children');
  assert.equal(await answer, null);
  assert.match(warnings[0]?.why ?? '', /longer than 6000 ms/);
  await eventually(() => !started.some(isRunning), 'their end');
});

it('children that a command leaves behind are ended with it, and do not hold up its answer', async (t) => {
  const folder = await folderOf(t);
  const file = join(folder, 'pid');
  const script = `const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)'], { stdio: 'inherit' }); child.unref();
    require('node:fs').writeFileSync(${JSON.stringify(file)}, String(child.pid)); ${says('{"valid":true}')}`;
  const { ask } = verifier(t, script);
  assert.deepEqual(await ask(request), { valid: true });
  const pid = Number(await readFile(file, 'utf8'));
  await eventually(() => !isRunning(pid), 'the end of the child');
});

it('what it prints on standard error is logged in short, without evidence and in one line', async (t) => {
  const script = `process.stdin.on('data', () => 0).on('end', () => { process.stderr.write('cannot verify\\n\\u001b[31m' + ${JSON.stringify(
    vector.evidence.quote,
  )} + ' x'.repeat(100_000)); process.exitCode = 1; })`;
  const { ask, warnings } = verifier(t, script);
  assert.equal(await ask(request), null);
  const said = warnings[0]?.said ?? '';
  assert.match(said, /^cannot verify /);
  assert.ok(said.length <= 500);
  assert.doesNotMatch(said, /\p{Cc}/u);
  assert.ok(!said.includes(vector.evidence.quote.slice(0, 40)));
});

it('runs no more at once than it may, and lets no more wait', async (t) => {
  const folder = await folderOf(t);
  const go = join(folder, 'go');
  // Each says how many run with it: files of those that have begun and not ended.
  const script = `const fs = require('node:fs'); const own = ${JSON.stringify(folder)} + '/run-' + process.pid; fs.writeFileSync(own, '');
    const count = () => fs.readdirSync(${JSON.stringify(folder)}).filter((name) => name.startsWith('run-')).length;
    const timer = setInterval(() => { if (!fs.existsSync(${JSON.stringify(go)})) return; clearInterval(timer);
      const running = count(); fs.unlinkSync(own); process.stdout.write(String(running)); }, 10)`;
  const { ask, warnings } = verifier(t, script);
  const asked = [1, 2, 3, 4, 5].map(() => ask(request));
  assert.equal(await asked[4], null);
  assert.match(warnings[0]?.why ?? '', /too many/);
  await writeFile(go, '');
  const counts = (await Promise.all(asked.slice(0, 4))) as number[];
  assert.ok(
    counts.every((count) => count >= 1 && count <= 2),
    String(counts),
  );
  assert.equal(warnings.length, 1);
});

it('who waits longer than the limit gets no verdict, and leaves the place to others', async (t) => {
  const { ask, warnings } = verifier(t, 'setInterval(() => 0, 1000)', { timeoutMs: 300, maximumAtOnce: 1 });
  assert.deepEqual(await Promise.all([ask(request), ask(request), ask(request)]), [null, null, null]);
  assert.ok(warnings.length === 3);
  assert.equal(await ask(request), null);
  assert.match(warnings.at(-1)?.why ?? '', /longer than/);
});

it('closing ends what runs and refuses what waits and what comes', async (t) => {
  const folder = await folderOf(t);
  const file = join(folder, 'pid');
  const script = `require('node:fs').writeFileSync(${JSON.stringify(file)}, String(process.pid)); setInterval(() => 0, 1000)`;
  const { ask, close } = verifier(t, script, { maximumAtOnce: 1 });
  const asked = [ask(request), ask(request)];
  const pid = await eventually(async () => Number(await readFile(file, 'utf8').catch(() => '')), 'the command');
  close();
  assert.deepEqual(await Promise.all(asked), [null, null]);
  assert.equal(await ask(request), null);
  await eventually(() => !isRunning(pid), 'its end');
});

// The documentation as people use it: its commands, typed one after the other into a fresh installation, and its site in a browser.
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { findFreePort } from '#start/ports.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { linkedCheckout, processesOf, signalProcessesOf } from '#tests/harness/npm-start.ts';
import { changesTheMachine, documentationPages, type CommandBlock } from '#tests/harness/page-commands.ts';
import { requires } from '#tests/harness/requires.ts';
import { eventually } from '#tests/harness/eventually.ts';

const commandsLimitMs = 300_000;
/** Of all pages, which are limited like one test otherwise. */
const pagesLimitMs = 1_200_000;

interface Running {
  readonly text: string;
  readonly child: ChildProcess;
  readonly output: () => string;
}

const skip = requires('curl') || requires('git') || requires('openssl');

describe('the commands of the documentation', { skip, timeout: pagesLimitMs }, () => {
  const cleanup = cleanupAfterAll();
  const running: Running[] = [];
  let place = '';
  let environment: NodeJS.ProcessEnv = {};
  let port = 0;

  before(async () => {
    place = await linkedCheckout(cleanup);
    cleanup.after(() => signalProcessesOf(place, 'SIGKILL'));
    await makeClone();
    await mkdir(join(place, 'bin'));
    // What `npx --no-install sentinel` starts, since the installation guide makes an alias of that, and what stands for the agent of a checkout.
    await writeProgram('sentinel', 'exec node cli/bin.mjs "$@"');
    await writeProgram('sentinel-agent', 'exec npm run --silent agent -- "$@"');
    port = await findFreePort();
    const ports = ['SENTINEL_DATABASE_PORT', 'SENTINEL_TEMPORAL_PORT', 'SENTINEL_TEMPORAL_UI_PORT'];
    environment = {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(SENTINEL|NODE_TEST)_/.test(name))),
      PATH: `${join(place, 'bin')}:${process.env.PATH ?? ''}`,
      SENTINEL_PORT: String(port),
      SENTINEL_URL: `https://localhost:${port}`,
      ...Object.fromEntries(await Promise.all(ports.map(async (name) => [name, String(await findFreePort())]))),
    };
  });

  /** The place as a clone of a repository that has something newer, so that there is something to pull. */
  async function makeClone(): Promise<void> {
    const upstream = await mkdtemp(join(tmpdir(), 'sentinel-docs-upstream-'));
    cleanup.after(() => rm(upstream, { recursive: true, force: true }));
    const git = (...args: string[]) =>
      promisify(execFile)('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {
        cwd: place,
      });
    await git('init', '--quiet', '--initial-branch=main');
    await git('add', '--', 'README.md', 'docs');
    await git('commit', '--quiet', '--message=Old');
    await git('commit', '--quiet', '--allow-empty', '--message=New');
    await git('clone', '--quiet', '--bare', place, upstream);
    await git('reset', '--quiet', '--hard', 'HEAD~1');
    await git('remote', 'add', 'origin', upstream);
    await git('fetch', '--quiet');
    await git('branch', '--quiet', '--set-upstream-to=origin/main');
  }

  async function writeProgram(name: string, line: string): Promise<void> {
    await writeFile(join(place, 'bin', name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  }

  /** The same address, on the port that is free here. */
  const here = (text: string): string => text.replaceAll('localhost:8443', `localhost:${port}`);

  async function startInBackground({ text, until, page, line }: CommandBlock): Promise<void> {
    const same = running.find((other) => other.text === text && other.child.exitCode === null);
    // One that is about to end has said so by taking this file away.
    if (same !== undefined && existsSync(join(place, '.sentinel', 'instance.json'))) return;
    const child = spawn('bash', ['--norc', '-euo', 'pipefail', '-c', here(text)], {
      cwd: place,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    running.push({ text, child, output: () => said });
    await eventually(
      () => {
        assert.equal(child.exitCode, null, `${page}:${line} ended:\n${said}`);
        return said.includes(until ?? '');
      },
      `${page}:${line} says “${until}”`,
      commandsLimitMs,
    );
  }

  /** Blocks that follow each other share one shell, as they do for who types them. */
  async function type(blocks: readonly CommandBlock[]): Promise<void> {
    const script = blocks.map(({ page, line, text }) => `echo "── ${page}:${line}" >&2\n${here(text)}`).join('\n');
    const typed = promisify(execFile)('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
      cwd: place,
      env: environment,
      timeout: commandsLimitMs,
    });
    typed.child.stdin?.end();
    await typed.catch((error: Error & { stdout?: string; stderr?: string }) => {
      assert.fail(`${error.stderr ?? ''}\n${error.stdout ?? ''}\n${error.message.slice(0, 300)}`);
    });
  }

  for (const { file, blocks } of documentationPages()) {
    const runnable = blocks.filter(
      ({ noRun, runIn, text }) => noRun === null && runIn === null && !changesTheMachine(text),
    );
    if (runnable.length === 0) continue;
    it(`of ${file} work (DC-03)`, { timeout: 600_000 }, async () => {
      let together: CommandBlock[] = [];
      for (const block of runnable) {
        if (block.until === null) together.push(block);
        else {
          await type(together);
          together = [];
          await startInBackground(block);
        }
      }
      await type(together);
    });
  }

  it('bring the clone to what is newer (DC-03)', async () => {
    const { stdout } = await promisify(execFile)('git', ['log', '-1', '--format=%s'], { cwd: place });
    assert.equal(stdout, 'New\n');
  });

  it('leave nothing running once they are stopped', { timeout: 60_000 }, async () => {
    const started = running.findLast(({ text, child }) => text === 'npm start\n' && child.exitCode === null);
    assert.ok(started);
    for (const { child } of running) if (child.exitCode === null) child.kill('SIGTERM');
    signalProcessesOf(place, 'SIGTERM');
    if (started.child.exitCode === null && started.child.signalCode === null) await once(started.child, 'exit');
    await eventually(() => processesOf(place).length === 0, 'every process has ended', 20_000);
  });
});

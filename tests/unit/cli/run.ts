// Runs one command against a scripted API, in a home of its own.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Pause } from '#client/request.ts';
import { runCli } from '#cli/program.ts';
import { systemRandom } from '#contracts/deps.ts';
import { fakeTerminal, type FakeTerminal } from '#tests/fakes/fake-terminal.ts';
import { scriptedApi, type ScriptedAnswer } from '#tests/fakes/scripted-api.ts';

export const now = new Date('2026-01-02T03:04:05.000Z');

/** Answers by route: `GET /api/devices/lab-1` without its query. */
export type Routes = Readonly<Record<string, ScriptedAnswer | ((index: number) => ScriptedAnswer)>>;

export async function aHome(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'sentinel-cli-'));
  t.after(() => rm(home, { recursive: true }));
  return home;
}

export async function keepSession(home: string, session: { url: string; expires_at?: string }): Promise<void> {
  const kept = {
    ca_file: null,
    username: 'approver1',
    token: 'kept-token',
    session_id: 's1',
    expires_at: '2026-01-02T12:00:00.000Z',
    ...session,
  };
  await writeFile(join(home, 'cli-session.json'), JSON.stringify(kept), { mode: 0o600 });
}

export async function runCommand(
  t: TestContext,
  words: string | readonly string[],
  options: {
    routes?: Routes;
    terminal?: FakeTerminal;
    environment?: Record<string, string>;
    home?: string;
    signedIn?: boolean;
    /** Lets no time pass by itself, so that nothing takes long, unless the test says. */
    pause?: Pause;
  } = {},
) {
  const { routes = {}, terminal = fakeTerminal(), signedIn = true } = options;
  const api = await scriptedApi(t, ({ method, path }, index) => {
    const route = `${method} ${path.split('?')[0] ?? ''}`;
    const answer = routes[route];
    if (answer === undefined) throw new RangeError(`the test has no answer to: ${route}`);
    return typeof answer === 'function' ? answer(index) : answer;
  });
  const home = options.home ?? (await aHome(t));
  if (signedIn) await keepSession(home, { url: api.url });
  const exit = await runCli(typeof words === 'string' ? words.split(' ').filter((word) => word !== '') : words, {
    environment: { SENTINEL_HOME: home, SENTINEL_URL: api.url, ...options.environment },
    terminal,
    clock: { now: () => now },
    random: systemRandom,
    pause: options.pause ?? (() => new Promise(() => undefined)),
    directory: home,
  });
  return {
    exit,
    home,
    terminal,
    seen: api.seen,
    url: api.url,
    out: terminal.dataLines.join('\n'),
    talk: terminal.talkLines.join('\n'),
  };
}

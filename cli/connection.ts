// How a command reaches the API: which address, which authority, whose sign-in.
import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createClient, type Client } from '#client/client.ts';
import { createTransport } from '#client/node-transport.ts';
import type { Fetch } from '#client/request.ts';
import { globalsOf, homeOf, settingsOf, type CliContext } from './context.ts';
import { CliError, wrongUsage } from './failure.ts';
import { printable } from '#contracts/printable.ts';

export interface Target {
  readonly url: string;
  readonly caFile: string | null;
  readonly token: string | null;
  /** When the kept session has ended, for a better answer than a refusal. */
  readonly sessionEnded: boolean;
}

/** Options come first, then the environment, the kept session, and the installation that runs on this machine. */
export async function findTarget(context: CliContext, command: Command): Promise<Target> {
  const options = globalsOf(command);
  const settings = settingsOf(context);
  const home = homeOf(context);
  const [session, instance] = await Promise.all([home.session(), home.instance()]);

  const url = options.url ?? settings.SENTINEL_URL ?? session?.url ?? instance?.api_url;
  if (url === undefined) {
    throw new CliError(`No Sentinel runs in ${home.directory}, and no address is given.`, {
      advice: 'Start it with npm start, or name its address with --url or SENTINEL_URL.',
    });
  }
  const origin = originOf(url);
  const given = options.caFile ?? settings.SENTINEL_CA_FILE;
  const ours = [session, instance && { url: instance.api_url, ca_file: instance.ca_file }];
  const known = ours.find((place) => place && originOf(place.url) === origin)?.ca_file ?? null;
  const sameSession = session && originOf(session.url) === origin ? session : null;
  const sessionEnded = sameSession !== null && Date.parse(sameSession.expires_at) <= context.clock.now().getTime();
  return {
    url: origin,
    caFile: given === undefined ? known : resolve(context.directory, given),
    // A kept token goes back to where it came from, and nowhere else.
    token: settings.SENTINEL_TOKEN ?? (sessionEnded ? null : (sameSession?.token ?? null)),
    sessionEnded,
  };
}

/** Runs `work` with a client for the target, and ends its connections. */
export async function withClientOf<T>(
  context: CliContext,
  command: Command,
  target: Target,
  work: (client: Client, target: Target) => Promise<T>,
): Promise<T> {
  const transport = createTransport({ ca: target.caFile === null ? undefined : await readCa(target.caFile) });
  try {
    return await work(
      createClient({
        baseUrl: target.url,
        fetch: observed(context, command, transport.fetch),
        random: context.random,
        // What is watched is asked for again anyway.
        ...(context.stop === undefined ? {} : { attempts: 1 }),
        token: target.token ?? undefined,
        project: globalsOf(command).project,
      }),
      target,
    );
  } finally {
    await transport.close();
  }
}

/** Runs `work` as the person who is signed in. */
export async function withClient<T>(
  context: CliContext,
  command: Command,
  work: (client: Client, target: Target) => Promise<T>,
): Promise<T> {
  const target = await findTarget(context, command);
  if (target.token === null) {
    throw new CliError(target.sessionEnded ? 'The sign-in has ended.' : `Nobody is signed in at ${target.url}.`, {
      advice: 'Sign in with: sentinel login',
    });
  }
  return withClientOf(context, command, target, work);
}

/** The requests, ended when the watching ends, and with `--debug` told: never their headers or bodies, which hold secrets. */
function observed(context: CliContext, command: Command, fetch: Fetch): Fetch {
  const { stop, terminal, clock } = context;
  const debug = globalsOf(command).debug === true;
  return async (url, init) => {
    const signal = stop === undefined ? init.signal : AbortSignal.any([init.signal, stop]);
    const begun = clock.now().getTime();
    const tell = (outcome: string) => {
      if (debug) terminal.talk(printable(`${init.method} ${url} → ${outcome}, ${clock.now().getTime() - begun} ms`));
    };
    try {
      const answer = await fetch(url, { ...init, signal });
      const request = answer.headers.get('x-request-id');
      tell(`${answer.status}${request === null ? '' : `, request ${request}`}`);
      return answer;
    } catch (error) {
      tell('no answer');
      throw error;
    }
  };
}

function originOf(url: string): string {
  const parsed = URL.parse(url);
  const loopback = parsed && ['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname);
  if (!parsed || !(parsed.protocol === 'https:' || (parsed.protocol === 'http:' && loopback))) {
    throw wrongUsage('The address of the API must begin with https:// (http:// only on this machine).');
  }
  if (parsed.username !== '' || parsed.password !== '') throw wrongUsage('The address must not hold credentials.');
  return parsed.origin;
}

async function readCa(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new CliError(`The authority file ${path} cannot be read: ${cause.code}`, {
      advice: 'Name another with --ca-file or SENTINEL_CA_FILE.',
      cause,
    });
  });
}

// A whole Sentinel for end-to-end tests: the real `npm start` with a home and ports of its own, devices and people.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createClient, type Client } from '#client/client.ts';
import { createTransport, type Transport } from '#client/node-transport.ts';
import { systemClock, systemRandom as random } from '#contracts/deps.ts';
import type { Role } from '#contracts/permissions.ts';
import { createDevelopmentCa, type DevelopmentCa } from '#protocols/development-ca.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { hashPassword } from '#protocols/password.ts';
import type { Instance } from '#contracts/instance.ts';
import { findFreePort } from '#start/ports.ts';
import type { Cleanup } from './cleanup.ts';
import { fillInEnvFile } from './env-file.ts';
import { eventually } from './eventually.ts';
import { giveCluster } from './start-server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const startWithinMs = 150_000;

/** People of every test installation: name → roles. The password is the name. */
export const people = {
  ann: ['approver'],
  bob: ['approver'],
  olga: ['operator'],
  sam: ['security'],
  vic: ['viewer'],
  root: ['admin'],
} as const satisfies Record<string, readonly Role[]>;
export type Person = keyof typeof people;

type HttpMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly retryAfter: string | null;
}

/** One simulated device, with a connection and a certificate of its own. */
export interface TestDevice {
  readonly id: string;
  readonly certificate: IssuedCertificate;
  heartbeat(counter: unknown, body?: Record<string, unknown>): Promise<Answer>;
  close(): Promise<void>;
}

export interface Stack {
  readonly home: string;
  readonly instance: Instance;
  readonly ca: DevelopmentCa;
  readonly database: pg.Pool;
  as(person: Person): Promise<Client>;
  token(person: Person): Promise<string>;
  device(id: string, certificate?: IssuedCertificate | null): Promise<TestDevice>;
  request(
    path: string,
    init?: { method?: HttpMethod; headers?: Record<string, string>; body?: unknown; identity?: IssuedCertificate },
  ): Promise<Answer>;
  /** Ends every process without a word, and starts again on the same home. */
  killAndRestart(): Promise<void>;
  kill(part: string, signal: NodeJS.Signals): void;
  restart(settings?: Record<string, string>): Promise<void>;
  stop(): Promise<void>;
}

/** Commands that start it instead, in a folder whose `.env` they read: it gets the settings, and they get none. */
export interface Typed {
  readonly directory: string;
  readonly text: string;
}

export async function startStack(
  t: Cleanup,
  settings: Record<string, string> = {},
  devices = 0,
  typed: Typed | null = null,
): Promise<Stack> {
  const home = await mkdtemp(join(tmpdir(), 'sentinel-stack-'));
  if (typed === null && settings['SENTINEL_DATABASE_URL'] === undefined) await giveCluster(home);
  const ports: Record<string, string> = {};
  for (const name of ['SENTINEL_PORT', 'SENTINEL_DATABASE_PORT', 'SENTINEL_TEMPORAL_PORT', 'SENTINEL_TEMPORAL_UI_PORT'])
    ports[name] = String(await findFreePort());
  const users = await Promise.all(
    Object.entries(people).map(async ([username, roles]) => ({
      username,
      roles,
      password_hash: await hashPassword(username),
    })),
  );
  let given = settings;
  const surroundings = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SENTINEL|NODE_TEST)_/.test(name)),
  );
  const ownSettings = (): Record<string, string> => ({
    ...ports,
    SENTINEL_HOME: home,
    SENTINEL_ADMIN_USERS_JSON: JSON.stringify(users),
    ...given,
  });

  let supervisor: ChildProcess | null = null;
  let instance!: Instance;
  let ca!: DevelopmentCa;
  let database!: pg.Pool;
  let anonymous!: Transport;
  const transports: Transport[] = [];

  async function start(): Promise<void> {
    let output = '';
    if (typed !== null) await fillInEnvFile(join(typed.directory, '.env'), ownSettings());
    const [program, args] =
      typed === null
        ? [process.execPath, [join(root, 'start/main.ts'), '--demo', String(devices)]]
        : ['bash', ['--norc', '-euo', 'pipefail', '-c', typed.text]];
    const child = spawn(program, args, {
      cwd: typed?.directory ?? root,
      env: { ...surroundings, ...(typed === null ? ownSettings() : {}) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    supervisor = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-20_000)));
    instance = await eventually(
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`npm start ended:\n${output}`);
        const text = await readFile(join(home, 'instance.json'), 'utf8').catch(() => null);
        const found = text === null ? null : (JSON.parse(text) as Instance);
        return found !== null && (typed !== null || found.pids['supervisor'] === child.pid) ? found : null;
      },
      `npm start\n${output}`,
      startWithinMs,
    ).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${output}`, { cause: error });
    });
    ca = await createDevelopmentCa(join(home, 'ca'), { clock: systemClock, random });
    database = new pg.Pool({ connectionString: instance.database_url, max: 2 });
    database.on('error', () => {});
    anonymous = createTransport({ ca: await readFile(instance.ca_file, 'utf8') });
  }

  /** A test may have closed some of them itself. */
  async function closeClients(): Promise<void> {
    await Promise.allSettled([
      anonymous.close(),
      ...transports.splice(0).map((transport) => transport.close()),
      database.end(),
    ]);
  }

  async function ended(child: ChildProcess): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  async function stop(): Promise<void> {
    if (supervisor === null) return;
    await closeClients();
    if (typed === null) supervisor.kill('SIGTERM');
    else process.kill(instance.pids['supervisor'] ?? supervisor.pid ?? 0, 'SIGTERM');
    await ended(supervisor);
    supervisor = null;
  }

  async function send(
    transport: Transport,
    path: string,
    init: { method?: HttpMethod; headers?: Record<string, string>; body?: unknown } = {},
  ): Promise<Answer> {
    const answer = await transport.fetch(`${instance.api_url}${path}`, {
      method: init.method ?? 'GET',
      headers: { ...(init.body === undefined ? {} : { 'content-type': 'application/json' }), ...init.headers },
      signal: AbortSignal.timeout(20_000),
      redirect: 'error',
      ...(init.body === undefined
        ? {}
        : { body: typeof init.body === 'string' ? init.body : JSON.stringify(init.body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json') === true;
    return {
      status: answer.status,
      body: isJson && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : { text },
      retryAfter: answer.headers.get('retry-after'),
    };
  }

  async function transportFor(identity: IssuedCertificate | null): Promise<Transport> {
    const transport = createTransport({
      ca: await readFile(instance.ca_file, 'utf8'),
      ...(identity ? { identity: { certificate: identity.certificatePem, key: identity.keyPem } } : {}),
    });
    transports.push(transport);
    return transport;
  }

  async function token(person: Person): Promise<string> {
    const { status, body } = await send(anonymous, '/api/admin/login', {
      method: 'POST',
      body: { username: person, password: person },
    });
    if (status !== 200) throw new Error(`${person} cannot sign in: ${status} ${JSON.stringify(body)}`);
    return body['token'] as string;
  }

  t.after(async () => {
    await stop();
    await rm(home, { recursive: true, force: true });
  });
  await start();

  return {
    home,
    get instance() {
      return instance;
    },
    get ca() {
      return ca;
    },
    get database() {
      return database;
    },
    token,
    as: async (person) =>
      createClient({
        baseUrl: instance.api_url,
        fetch: anonymous.fetch,
        random,
        token: await token(person),
        timeoutMs: 20_000,
        attempts: 1,
      }),
    async device(id, certificate) {
      const identity = certificate === undefined ? await ca.issueDevice({ deviceId: id }) : certificate;
      const transport = await transportFor(identity);
      return {
        id,
        certificate: identity as IssuedCertificate,
        heartbeat: (heartbeat_counter, body = {}) =>
          send(transport, '/api/heartbeat', {
            method: 'POST',
            body: {
              device_id: id,
              heartbeat_counter,
              agent_version: '1.0.0',
              hostname: `${id}.example`,
              platform: 'linux',
              ...body,
            },
          }),
        close: () => transport.close(),
      };
    },
    request: async (path, { identity, ...init } = {}) =>
      send(identity ? await transportFor(identity) : anonymous, path, init),
    kill(part, signal) {
      const pid = instance.pids[part];
      if (pid === undefined) throw new Error(`no process named ${part}: ${Object.keys(instance.pids).join(', ')}`);
      process.kill(pid, signal);
    },
    async killAndRestart() {
      await closeClients();
      for (const pid of Object.values(instance.pids)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It went with the supervisor.
        }
      }
      if (supervisor) await ended(supervisor);
      await start();
    },
    async restart(changed = {}) {
      await stop();
      given = { ...given, ...changed };
      await start();
    },
    stop,
  };
}

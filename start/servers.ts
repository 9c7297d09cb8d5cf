// Our own processes as parts: the API, the Temporal worker, the sealer, and the simulated devices.
import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection, type ConnectionOptions } from '@temporalio/client';
import pg from 'pg';
import type { Note, Part } from './part.ts';

type Environment = Readonly<Record<string, string>>;

/** Asks the API whether it is ready; a part that it can do without for a while (Temporal) does not count. */
export function apiPart(environment: Environment, probe: HealthProbe): Part {
  return {
    ...nodePart('API', 'api/main.ts', [], environment),
    ready: (signal, note) => until(() => isHealthy(probe, note), signal),
  };
}

/** Asks Temporal whether somebody takes tasks from the queue. */
export function workerPart(
  environment: Environment,
  temporal: { readonly connection: ConnectionOptions; readonly namespace: string; readonly taskQueue: string },
): Part {
  return {
    ...nodePart('Worker', 'worker/main.ts', [], environment),
    async ready(signal, note) {
      const connection = await Connection.connect({ ...temporal.connection, connectTimeout: 10_000 });
      try {
        await until(() => hasPoller(connection, temporal, note), signal);
      } finally {
        await connection.close();
      }
    },
  };
}

/** Asks the database whether the sealer has signed in. */
export function sealerPart(
  environment: Environment,
  database: { readonly ownerUrl: string; readonly login: string },
): Part {
  return {
    ...nodePart('Sealer', 'worker/sealer.ts', [], environment),
    async ready(signal, note) {
      const client = new pg.Client({ connectionString: database.ownerUrl, connectionTimeoutMillis: 10_000 });
      client.on('error', () => {});
      await client.connect();
      try {
        await until(async () => {
          const { rowCount } = await client.query('SELECT FROM pg_stat_activity WHERE usename = $1', [database.login]);
          if (!rowCount) note(`${database.login} has not signed in to the database`);
          return Boolean(rowCount);
        }, signal);
      } finally {
        await client.end();
      }
    },
  };
}

/** @param attestation File that says what devices prove what they booted with. */
export function fleetPart(environment: Environment, devices: number, attestation: string | null): Part {
  return {
    ...nodePart('Fleet', 'agent/fleet/main.ts', fleetArguments(devices, attestation), environment),
    // Devices that cannot report are what the product is there to show.
    ready: async () => {},
    stopWithinMs: 1_000,
  };
}

/** The address is that of this very installation, whatever its name. */
function fleetArguments(devices: number, attestation: string | null): string[] {
  return [
    ...(attestation === null ? [] : ['--attestation', attestation]),
    ...['--scenario', 'demo', '--devices', String(devices), '--log', '--allow-remote'],
  ];
}

export interface HealthProbe {
  /** …/api/health/ready */
  readonly url: string;
  /** Authorities to trust it with (PEM); none for plain HTTP. */
  readonly ca: string | null;
}

function nodePart(
  name: string,
  script: string,
  args: readonly string[],
  environment: Environment,
): Omit<Part, 'ready'> {
  return {
    name,
    command: process.execPath,
    args: [fileURLToPath(new URL(`../${script}`, import.meta.url)), ...args],
    environment,
    readyWithinMs: 60_000,
    stopSignal: 'SIGTERM',
    stopWithinMs: 3_000,
  };
}

async function until(condition: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await condition())) await sleep(100, undefined, { signal });
}

function isHealthy({ url, ca }: HealthProbe, note: Note): Promise<boolean> {
  return new Promise((resolve) => {
    const answered = (status: number | undefined): void => {
      note(`${url} answers ${status}`);
      resolve(status === 200);
    };
    const failed = (error: Error): void => {
      note(`${url}: ${error.message}`);
      resolve(false);
    };
    const options = { timeout: 5_000, agent: false } as const;
    // Its certificate may be for the name that browsers use; the authority has to be the right one all the same.
    const trust = { ca: ca ?? '', checkServerIdentity: () => undefined };
    const request = ca === null ? requestPlain(url, options) : requestTls(url, { ...options, ...trust });
    request.on('response', (response) => {
      response.resume();
      answered(response.statusCode);
    });
    request.on('timeout', () => request.destroy(new Error('no answer within 5 s')));
    request.on('error', failed);
    request.end();
  });
}

async function hasPoller(
  connection: Connection,
  { namespace, taskQueue }: { readonly namespace: string; readonly taskQueue: string },
  note: Note,
): Promise<boolean> {
  try {
    const description = await connection.withDeadline(Date.now() + 5_000, () =>
      // 1: workflow tasks.
      connection.workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueue }, taskQueueType: 1 }),
    );
    if (description.pollers.length > 0) return true;
    note(`nobody takes tasks from the queue ${taskQueue}`);
  } catch (error) {
    note((error as Error).message);
  }
  return false;
}

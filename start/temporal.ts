// The embedded Temporal: the official dev server with its UI, on loopback only, with its state in one SQLite file.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection, type ConnectionOptions } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { TrustError } from '#contracts/problems.ts';
import { type SearchAttributeName, searchAttributes } from '#contracts/search-attributes.ts';
import {
  dyingWithParent,
  type Exit,
  type Note,
  type Output,
  type Part,
  spawnPart,
  startPart,
  stopChild,
} from './part.ts';
import { findFreePort, requireFreePort } from './ports.ts';
import { runProgram } from './run-program.ts';

export interface TemporalOptions {
  /** Temporal's command line. */
  readonly program: string;
  readonly port: number;
  /** Port of the UI, which is served under /temporal; without it there is no UI. */
  readonly uiPort?: number;
  /** Decodes payloads for the UI; asked by the browser, not by the server. */
  readonly codecEndpoint?: string;
  readonly namespace?: string;
  /** State in memory when absent, and the server dies with the process that started it. For tests. */
  readonly databaseFile?: string;
  /** How long closed workflows stay visible. */
  readonly retentionDays?: number;
  /** Limits of the server other than its own, by their names there. For tests. */
  readonly dynamicConfig?: Readonly<Record<string, number>>;
}

export interface RunningTemporal {
  /** host:port */
  readonly address: string;
  readonly namespace: string;
  /** Loopback address of the UI; `null` without one. */
  readonly uiUrl: string | null;
  readonly pid: number;
  readonly exited: Promise<Exit>;
  stop(): Promise<void>;
}

export const uiPublicPath = '/temporal';

/** Nothing of our own environment, in particular none of our secrets. */
const environment = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin' };

/**
 * Starts a server of its own, for tests and tools; ports 0 take free ones.
 *
 * @throws TrustError `service.unavailable` with the end of the server's log
 */
export async function startTemporal(options: TemporalOptions & { readonly output?: Output }): Promise<RunningTemporal> {
  const { output = () => {}, namespace = 'default' } = options;
  // A free port may be taken by somebody else before the server has it.
  for (let attempt = 1; ; attempt++) {
    const port = options.port === 0 ? await findFreePort() : options.port;
    const uiPort = options.uiPort === 0 ? await findFreePort() : options.uiPort;
    const part = await temporalPart({ ...options, port, ...(uiPort === undefined ? {} : { uiPort }) });
    try {
      const child = await startPart(part, spawnPart, output);
      return {
        address: `127.0.0.1:${port}`,
        namespace,
        uiUrl: uiPort === undefined ? null : `http://127.0.0.1:${uiPort}${uiPublicPath}`,
        pid: child.pid,
        exited: child.exited,
        stop: async () => void (await stopChild(part, child)),
      };
    } catch (error) {
      const mayRetry = options.port === 0 && attempt < 3 && /is taken|in use/.test((error as Error).message);
      if (!mayRetry) throw error;
    }
  }
}

/** Describes the server as a part. */
export async function temporalPart(options: TemporalOptions): Promise<Part> {
  const { program, port, uiPort, databaseFile, namespace = 'default', retentionDays = 30 } = options;
  const help = await runProgram(program, ['server', 'start-dev', '--help'], { environment, withinMs: 20_000 });
  const args = serverArguments(options, (flag) => help.includes(flag));
  const [command, finalArgs] = databaseFile === undefined ? dyingWithParent(program, args) : [program, args];
  return {
    name: 'Temporal',
    async prepare() {
      if (databaseFile !== undefined) await mkdir(dirname(databaseFile), { recursive: true, mode: 0o700 });
      await requireFreePort('SENTINEL_TEMPORAL_PORT', '127.0.0.1', port);
      if (uiPort !== undefined) await requireFreePort('SENTINEL_TEMPORAL_UI_PORT', '127.0.0.1', uiPort);
    },
    command,
    args: finalArgs,
    environment,
    ready: (signal, note) => untilServing({ address: `127.0.0.1:${port}`, namespace, retentionDays }, signal, note),
    readyWithinMs: 60_000,
    stopSignal: 'SIGTERM',
    stopWithinMs: 2_000,
  };
}

/** A workflow is marked as one that does not go on after the second task in a row that failed: health asks for that. */
const ownConfig = { 'system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute': 2 };

function serverArguments(options: TemporalOptions, serves: (flag: string) => boolean): string[] {
  const { port, uiPort, codecEndpoint, databaseFile, namespace = 'default' } = options;
  const args = ['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--namespace', namespace];
  args.push('--log-level', 'warn', '--log-format', 'json', '--color', 'never');
  for (const [name, type] of Object.entries(searchAttributes))
    args.push('--search-attribute', `${name}=${titleCase(type)}`);
  if (uiPort === undefined) {
    args.push('--headless');
  } else {
    args.push('--ui-ip', '127.0.0.1', '--ui-port', String(uiPort), '--ui-public-path', uiPublicPath);
    if (codecEndpoint !== undefined) args.push('--ui-codec-endpoint', codecEndpoint);
    if (serves('--ui-disable-news-fetch')) args.push('--ui-disable-news-fetch');
  }
  for (const [name, value] of Object.entries({ ...ownConfig, ...options.dynamicConfig }))
    args.push('--dynamic-config-value', `${name}=${value}`);
  if (databaseFile !== undefined) {
    // Every commit reaches the disk, and the write-ahead log makes that 3.5 times as fast as the default.
    args.push(
      '--db-filename',
      databaseFile,
      '--sqlite-pragma',
      'journal_mode=WAL',
      '--sqlite-pragma',
      'synchronous=FULL',
    );
  }
  return args;
}

interface Expected {
  readonly address: string;
  readonly namespace: string;
  readonly retentionDays: number;
}

/** Asks for the server's capabilities, the namespace and its search attributes until all of them are there. */
async function untilServing(
  { address, namespace, retentionDays }: Expected,
  signal: AbortSignal,
  note: Note,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      // Connecting asks for GetSystemInfo.
      const connection = await Connection.connect({ address, connectTimeout: 5_000 });
      try {
        return await connection.withDeadline(Date.now() + 10_000, () =>
          prepareNamespace(connection, namespace, retentionDays),
        );
      } finally {
        await connection.close();
      }
    } catch (error) {
      note((error as Error).message);
    }
    await sleep(100, undefined, { signal });
  }
}

/** The dev server keeps closed workflows for a day; people look for them longer. */
async function prepareNamespace(connection: Connection, namespace: string, retentionDays: number): Promise<void> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const seconds = retentionDays * 86_400;
  if (Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) !== seconds) {
    const workflowExecutionRetentionTtl = msToTs(seconds * 1_000);
    await connection.workflowService.updateNamespace({ namespace, config: { workflowExecutionRetentionTtl } });
  }
  const missing = await missingAttributes(connection, namespace);
  if (missing.length > 0) throw new RangeError(`search attributes are missing: ${missing.join(', ')}`);
}

/**
 * Sees that an external server has what we need of it, and adds the search attributes that are missing.
 *
 * @throws TrustError `service.unavailable` naming what to do
 */
export async function prepareExternalTemporal(options: ConnectionOptions, namespace: string): Promise<void> {
  const advice = (what: string, cause: unknown): TrustError =>
    new TrustError('service.unavailable', {
      detail: `Temporal at ${options.address} ${what}: ${(cause as Error).message}`,
      cause,
    });
  const connection = await Connection.connect({ ...options, connectTimeout: 10_000 }).catch((cause: unknown) => {
    throw advice('cannot be reached (SENTINEL_TEMPORAL_ADDRESS)', cause);
  });
  try {
    await connection.withDeadline(Date.now() + 20_000, async () => {
      const missing = await missingAttributes(connection, namespace).catch((cause: unknown) => {
        throw advice(`does not show the namespace ${namespace} (SENTINEL_TEMPORAL_NAMESPACE)`, cause);
      });
      if (missing.length === 0) return;
      const types = Object.fromEntries(missing.map((name) => [name, indexedTypes[searchAttributes[name]]]));
      await connection.operatorService
        .addSearchAttributes({ namespace, searchAttributes: types })
        .catch((cause: unknown) => {
          throw advice(`does not let us add the search attributes ${missing.join(', ')}; add them`, cause);
        });
    });
  } finally {
    await connection.close();
  }
}

/** As `temporal.api.enums.v1.IndexedValueType` numbers them. */
const indexedTypes = { KEYWORD: 2 } as const;

async function missingAttributes(connection: Connection, namespace: string): Promise<SearchAttributeName[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const names = Object.keys(searchAttributes) as SearchAttributeName[];
  return names.filter((name) => !Object.hasOwn(customAttributes, name));
}

function titleCase(word: string): string {
  return word.charAt(0) + word.slice(1).toLowerCase();
}

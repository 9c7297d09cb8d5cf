// Tests that need a program of the system: they are skipped where it is missing, except where everything must be there.
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';

const list = readFileSync(new URL('../debian-packages.txt', import.meta.url), 'utf8');
const packages = new Map(
  list
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(' ') as [string, string])
    .map(([name, path]) => [basename(path), { name, path }]),
);

/**
 * For the option `skip` of a test: `false` when the program is there, else the reason, which names the Debian package.
 *
 * @throws where `CI` is set and we are root, since everything could have been installed there
 */
export function requires(program: string, machine: Machine = thisMachine): false | string {
  const needed = packages.get(program);
  if (needed === undefined) throw new RangeError(`tests/debian-packages.txt does not name ${program}`);
  if (machine.exists(needed.path)) return false;
  const reason = `needs the Debian package ${needed.name}`;
  if (machine.hasEverything) throw new RangeError(`${program}: ${reason}`);
  return reason;
}

interface Machine {
  exists(path: string): boolean;
  /** Nothing may be missing here. */
  readonly hasEverything: boolean;
}

const thisMachine: Machine = {
  exists: existsSync,
  hasEverything: process.env.CI !== undefined && process.getuid?.() === 0,
};

/** Where the program is. */
export function programPath(program: string): string {
  const path = packages.get(program)?.path;
  if (path === undefined) throw new RangeError(`tests/debian-packages.txt does not name ${program}`);
  return path;
}

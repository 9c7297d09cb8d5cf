// Completes package-lock.json: `npm install` leaves out optional packages of other platforms that the registry at hand does not
// have, and `npm ci` then refuses the lock file. Their entries have no integrity, so on such a platform npm trusts the registry.
import { readFileSync, writeFileSync } from 'node:fs';

interface Entry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface LockFile {
  readonly packages: Readonly<Record<string, Entry>>;
}

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const processors = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

/** The entries that are missing, by path; all of them exact versions for one platform. */
export function missingEntries(lock: LockFile): Record<string, object> {
  const missing: Record<string, object> = {};
  for (const entry of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const path = `node_modules/${name}`;
      if (Object.keys(lock.packages).some((known) => known.endsWith(path))) continue;
      const words = name.split(/[/-]/);
      const system = systems.find((word) => words.includes(word));
      const processor = processors.find((word) => words.includes(word));
      if (system === undefined || processor === undefined || !/^\d/.test(version))
        throw new RangeError(`${name}@${version} is missing from the lock file, and not for another platform`);
      missing[path] = {
        version,
        cpu: [processor],
        ...(entry.dev === true ? { dev: true } : {}),
        ...libraryOf(words),
        optional: true,
        os: [system],
      };
    }
  }
  return missing;
}

function libraryOf(words: readonly string[]): object {
  if (words.some((word) => word.startsWith('musl'))) return { libc: ['musl'] };
  return words.some((word) => word.startsWith('gnu')) ? { libc: ['glibc'] } : {};
}

if (import.meta.main) {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as LockFile;
  const missing = missingEntries(lock);
  const { '': project, ...packages } = { ...lock.packages, ...missing };
  const sorted = Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
  writeFileSync(
    'package-lock.json',
    `${JSON.stringify({ ...lock, packages: { '': project, ...Object.fromEntries(sorted) } }, null, 2)}\n`,
  );
  process.stdout.write(`${Object.keys(missing).length} entries added\n`);
}

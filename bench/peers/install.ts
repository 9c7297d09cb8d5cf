// Installs a program that something of ours is compared with, from its public registry and pinned, beside the clone's tools.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** The first time from a registry. */
const withinMs = 300_000;

/**
 * @returns the path of its program
 * @throws Error that says why it cannot be installed
 */
export function installPeer(name: string): string {
  const folder = join(import.meta.dirname, '..', '..', '.sentinel', 'bench', name);
  try {
    return execFileSync(join(import.meta.dirname, `${name}.sh`), [folder], {
      encoding: 'utf8',
      timeout: withinMs,
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  } catch (error) {
    const said = ((error as { stderr?: string }).stderr ?? '').trim();
    throw new Error(`${name} cannot be installed: ${said === '' ? (error as Error).message : said}`, { cause: error });
  }
}

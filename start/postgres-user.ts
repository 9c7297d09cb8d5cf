// Who the embedded Postgres runs as: it refuses to be root, and root often owns the folder that nobody else can enter.
import { readFile } from 'node:fs/promises';
import { TrustError } from '#contracts/problems.ts';
import { runProgram } from './run-program.ts';

export interface RunAs {
  /** Goes in front of every command; empty when we are not root. */
  readonly prefix: readonly string[];
  /** Who has to own the data, seen from outside; `null` when it is ourselves anyway. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

const systemPath = '/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Finds a way to run `program` other than as root, without making a system user and without moving data out of a folder
 * that only root can enter.
 *
 * @throws TrustError `service.unavailable` when this system offers none
 */
export async function findUnprivilegedUser(program: string, path = systemPath): Promise<RunAs> {
  if (process.getuid?.() !== 0) return { prefix: [], owner: null };
  // initdb looks its user up by number, so it has to be one that exists.
  const { uid, gid } = await findNobody();
  const ways: readonly RunAs[] = [
    // A user namespace: nobody inside, root outside.
    {
      prefix: ['unshare', '--user', `--map-user=${uid}`, `--map-group=${gid}`],
      owner: { uid: 0, gid: 0 },
    },
    // Where those are off (most containers): really nobody, who may pass the folders of others.
    {
      prefix: [
        'setpriv',
        `--reuid=${uid}`,
        `--regid=${gid}`,
        '--clear-groups',
        '--inh-caps=+dac_override',
        '--ambient-caps=+dac_override',
        // initdb asks access(2) for its programs, which forgets capabilities of everybody but root unless told not to.
        '--securebits=+no_setuid_fixup',
      ],
      owner: { uid, gid },
    },
  ];
  const reasons: string[] = [];
  for (const way of ways) {
    const [command = '', ...args] = way.prefix;
    try {
      await runProgram(command, [...args, program, '--version'], { environment: { PATH: path }, withinMs: 10_000 });
      return way;
    } catch (error) {
      reasons.push((error as Error).message);
    }
  }
  throw new TrustError('service.unavailable', {
    detail: [
      'PostgreSQL does not run as root, and this system offers neither user namespaces nor capabilities to run it otherwise.',
      'Start as another user, or give an external database with SENTINEL_DATABASE_URL.',
      ...reasons,
    ].join('\n'),
  });
}

async function findNobody(): Promise<{ uid: number; gid: number }> {
  const accounts = await readFile('/etc/passwd', 'utf8').catch(() => '');
  for (const line of accounts.split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === 'nobody') return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65534, gid: 65534 };
}

// A machine that systemd has really booted: a container with the programs of this one, nothing of its files, and its network.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { programPath, requires } from './requires.ts';

const withinMs = 150_000;

export interface SystemdMachine {
  /** Folder of the test, that the machine sees as /test and may write to. */
  readonly folder: string;
  /** Other files that it sees: path in the machine → path here. */
  readonly files: Readonly<Record<string, string>>;
  /** Folders that it may write to, in the same way. */
  readonly writable?: Readonly<Record<string, string>>;
  /** What its first service does, as root, in `sh`; the machine ends with it. */
  readonly script: string;
}

/** For the option `skip` of a test. */
export function requiresSystemdMachine(): false | string {
  return requires('systemd-nspawn') || (process.getuid?.() === 0 ? false : 'boots a container, which only root may');
}

const firstService = `[Unit]
Requires=basic.target
After=basic.target
SuccessAction=exit
FailureAction=exit

[Service]
Type=oneshot
ExecStart=/bin/sh -eu /test/script.sh
StandardOutput=file:/test/script.log
StandardError=file:/test/script.log
`;

/** Boots it, and gives back what the script printed once the machine is gone. */
export async function runSystemdMachine({ folder, files, writable = {}, script }: SystemdMachine): Promise<string> {
  const name = `sentinel-test-${randomBytes(4).toString('hex')}`;
  const here = join(folder, 'machine');
  await mkdir(here);
  await writeFile(join(folder, 'script.sh'), script);
  await writeFile(join(here, 'first.service'), firstService);
  // With an id of its own it does not ask for a first set-up.
  await writeFile(join(here, 'machine-id'), `${randomBytes(16).toString('hex')}\n`);
  const seen = {
    '/etc/machine-id': join(here, 'machine-id'),
    '/etc/hosts': '/etc/hosts',
    '/etc/systemd/system/first.service': join(here, 'first.service'),
    ...files,
  };
  const args = [
    ...['--directory=/', '--volatile=yes', `--machine=${name}`, '--register=no', '--keep-unit', '--quiet'],
    ...['--console=pipe', '--kill-signal=SIGKILL', `--bind=${folder}:/test`],
    ...Object.entries(writable).map(([there, path]) => `--bind=${path}:${there}`),
    ...Object.entries(seen).map(([there, path]) => `--bind-ro=${path}:${there}`),
    ...['--boot', 'systemd.unit=first.service'],
  ];
  let console = '';
  try {
    const { stdout, stderr } = await promisify(execFile)(programPath('systemd-nspawn'), args, { timeout: withinMs });
    console = stdout + stderr;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    console = stdout + stderr;
  } finally {
    await rm(`/run/systemd/nspawn/propagate/${name}`, { recursive: true, force: true });
  }
  // The machine ends well whatever the script did; what is missing in its words tells.
  return readFile(join(folder, 'script.log'), 'utf8').catch(() => console);
}

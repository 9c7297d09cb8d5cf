// Whether the disk that the system runs from is encrypted.
import { basename } from 'node:path/posix';
import type { System } from '../system.ts';
import type { Fact } from './fact.ts';

export const diskEncryption: Fact = async (system) => ({ posture: { disk_encrypted: await isEncrypted(system) } });

async function isEncrypted(system: System): Promise<boolean | null> {
  switch (system.platform) {
    case 'linux':
      return isRootEncrypted(system);
    case 'darwin':
      return parseFdesetup(await system.run('fdesetup', ['status']));
    case 'win32':
      return parseProtectionStatus(
        await system.run('powershell', ['-NoProfile', '-NonInteractive', '-Command', bitLocker]),
      );
    default:
      return null;
  }
}

/** Numbers, since texts come in the language of the machine. Only an administrator, as the service is, gets an answer. */
const bitLocker =
  `(Get-CimInstance -Namespace root/cimv2/Security/MicrosoftVolumeEncryption -ClassName Win32_EncryptableVolume ` +
  `-Filter ('DriveLetter=''' + $env:SystemDrive + '''')).ProtectionStatus`;

/** Win32_EncryptableVolume: 1 is encrypted and protected, 0 is not, 2 is unknown. */
export function parseProtectionStatus(output: string | null): boolean | null {
  const status = output?.trim();
  return status === '1' ? true : status === '0' ? false : null;
}

/** A disk on its way is not encrypted yet, or no longer. */
export function parseFdesetup(output: string | null): boolean | null {
  if (/^FileVault is Off\b/m.test(output ?? '')) return false;
  if (!/^FileVault is On\b/m.test(output ?? '')) return null;
  return !/(En|De)cryption in progress/i.test(output ?? '');
}

/** Deeper than any stack of partitions, RAID and volumes that people build. */
const deepest = 8;

async function isRootEncrypted(system: System): Promise<boolean | null> {
  const root = parseRootMount((await system.readFile('/proc/self/mountinfo'))?.toString() ?? '');
  if (root === null) return null;
  // Btrfs and others mount under a number of their own; what they were mounted from is then a name under /dev.
  const device = root.number.startsWith('0:')
    ? await blockDeviceOf(system, root.source)
    : `/sys/dev/block/${root.number}`;
  return device === null ? null : isCrypt(system, device, deepest);
}

async function blockDeviceOf(system: System, source: string): Promise<string | null> {
  const path = source.startsWith('/dev/') ? await system.realPath(source) : null;
  return path === null ? null : `/sys/class/block/${basename(path)}`;
}

/** A block device is encrypted when dm-crypt is on every way down to the hardware. */
async function isCrypt(system: System, device: string, depth: number): Promise<boolean | null> {
  const kind = (await system.readFile(`${device}/dm/uuid`))?.toString() ?? '';
  // Two relatives carry the name and encrypt nothing.
  if (/^CRYPT-(?!VERITY|INTEGRITY)/.test(kind)) return true;
  const below = await system.list(`${device}/slaves`);
  if (below === null || depth === 0) {
    // A partition has no such folder; whatever is not there at all is unknown.
    return depth > 0 && (await system.readFile(`${device}/partition`)) !== null ? false : null;
  }
  if (below.length === 0) return false;
  const answers = await Promise.all(below.map((name) => isCrypt(system, `/sys/class/block/${name}`, depth - 1)));
  return answers.includes(false) ? false : answers.includes(null) ? null : true;
}

/** What is mounted at / last: the number of its device, and what it was mounted from. @see proc_pid_mountinfo(5) */
export function parseRootMount(mountinfo: string): { readonly number: string; readonly source: string } | null {
  const line = mountinfo
    .split('\n')
    .map((text) => /^\d+ \d+ (\d+:\d+) \S+ \/ .* - \S+ (\S+)/.exec(text))
    .findLast((match) => match !== null);
  return line === undefined ? null : { number: line[1] ?? '', source: line[2] ?? '' };
}

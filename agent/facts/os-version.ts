// Which release of the operating system runs, and which kernel.
import type { System } from '../system.ts';
import { clean, registryNumber, registryText, type Fact } from './fact.ts';

const windowsKey = 'HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion';

export const osVersion: Fact = async (system) => ({
  posture: { os_version: await readVersion(system), kernel_version: clean(system.release()) },
});

async function readVersion(system: System): Promise<string | null> {
  switch (system.platform) {
    case 'linux':
      return parseOsRelease((await system.readFile('/etc/os-release'))?.toString() ?? '');
    case 'darwin':
      return parseSwVers(await system.run('sw_vers', []));
    case 'win32':
      return parseWindows(system.version(), await system.run('reg', ['query', windowsKey]));
    default:
      return null;
  }
}

/** @see os-release(5) */
export function parseOsRelease(text: string): string | null {
  const valueOf = (name: string): string | null => {
    const value = new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
    const quoted = /^(["'])(.*)\1$/.exec(value);
    return clean((quoted?.[2] ?? value).replaceAll(/\\(["'`$\\])/g, '$1'));
  };
  const named = [valueOf('NAME'), valueOf('VERSION')].filter((part) => part !== null).join(' ');
  return valueOf('PRETTY_NAME') ?? clean(named);
}

/** `macOS 15.6.1`, from what sw_vers prints. */
export function parseSwVers(output: string | null): string | null {
  const valueOf = (name: string): string | undefined => new RegExp(`^${name}:\\s*(.+)$`, 'm').exec(output ?? '')?.[1];
  const version = clean(valueOf('ProductVersion'));
  return version === null ? null : `${clean(valueOf('ProductName')) ?? 'macOS'} ${version}`;
}

/** `Windows 11 Pro 24H2 (26100.2033)`: the updates of a month are in the last number. */
export function parseWindows(name: string, registry: string | null): string | null {
  const build = registryText(registry, 'CurrentBuild');
  const revision = registryNumber(registry, 'UBR');
  const parts = [
    clean(name),
    registryText(registry, 'DisplayVersion'),
    build === null ? null : `(${build}${revision === null ? '' : `.${revision}`})`,
  ];
  return clean(parts.filter((part) => part !== null).join(' '));
}

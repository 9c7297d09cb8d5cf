// How the machine booted: by UEFI or BIOS, and whether firmware checked what it started.
import type { System } from '../system.ts';
import { registryNumber, type Fact } from './fact.ts';

interface BootMode {
  readonly boot_mode: 'uefi' | 'bios' | 'apple' | null;
  readonly secure_boot: boolean | null;
}

export const bootMode: Fact = async (system) => ({ posture: { ...(await readBootMode(system)) } });

const unknown: BootMode = { boot_mode: null, secure_boot: null };

async function readBootMode(system: System): Promise<BootMode> {
  switch (system.platform) {
    case 'linux':
      return readLinux(system);
    case 'darwin':
      return parseProfiler(await system.run('system_profiler', ['SPiBridgeDataType']));
    case 'win32':
      return readWindows(system);
    default:
      return unknown;
  }
}

/** The variable that the firmware sets, named after the vendor id of UEFI itself. */
const secureBootVariable = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';

async function readLinux(system: System): Promise<BootMode> {
  const firmware = await system.list('/sys/firmware');
  // Containers see an empty folder, which says nothing about the machine.
  if (firmware === null || firmware.length === 0) return unknown;
  if (firmware.includes('efi'))
    return { boot_mode: 'uefi', secure_boot: parseSecureBoot(await system.readFile(secureBootVariable)) };
  // Other processors boot in ways that have no such name.
  return system.architecture === 'x64' || system.architecture === 'ia32'
    ? { boot_mode: 'bios', secure_boot: false }
    : unknown;
}

/** Four bytes of attributes, then the value. @see UEFI 2.10 §3.3 */
export function parseSecureBoot(variable: Buffer | null): boolean | null {
  if (variable?.length !== 5) return null;
  return variable[4] === 1 ? true : variable[4] === 0 ? false : null;
}

/** Macs with a security chip say which systems they start; the others say nothing. */
export function parseProfiler(output: string | null): BootMode {
  // Trimmed afterwards: white space on both sides of a lazy group is gone through again for each of its characters.
  const level = /^[ \t]*Secure Boot:(.*)$/m.exec(output ?? '')?.[1]?.trim();
  if (level === undefined || level === '') return unknown;
  return { boot_mode: 'apple', secure_boot: /^(Full|Medium|Reduced) Security$/.test(level) };
}

const control = 'HKLM\\SYSTEM\\CurrentControlSet\\Control';

async function readWindows(system: System): Promise<BootMode> {
  const [type, state] = await Promise.all([
    system.run('reg', ['query', control, '/v', 'PEFirmwareType']),
    system.run('reg', ['query', `${control}\\SecureBoot\\State`, '/v', 'UEFISecureBootEnabled']),
  ]);
  return parseRegistry(type, state);
}

export function parseRegistry(firmwareType: string | null, secureBootState: string | null): BootMode {
  const type = registryNumber(firmwareType, 'PEFirmwareType');
  const enabled = registryNumber(secureBootState, 'UEFISecureBootEnabled');
  if (type === 1) return { boot_mode: 'bios', secure_boot: false };
  return {
    boot_mode: type === 2 || enabled === 1 ? 'uefi' : null,
    secure_boot: enabled === null ? null : enabled === 1,
  };
}

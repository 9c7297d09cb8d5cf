// The register values that a signed measurement reports: from a file that the measuring program writes, and from the kernel.
import { FileProblem } from '../file-problem.ts';
import type { System } from '../system.ts';
import { banksOf, readPcrValue, type PcrBank, type PcrSelection, type PcrValues } from '#protocols/pcr.ts';
import { EvidenceProblem } from './provider.ts';

/**
 * Finds the value of each register that is asked for; what the file says comes before what the kernel says.
 *
 * @param path File with `{"sha256": {"0": "hex"}}`; `null` when there is none.
 * @throws FileProblem; EvidenceProblem for a register that neither of them has
 */
export async function findPcrValues(
  selection: PcrSelection,
  { path, system }: { readonly path: string | null; readonly system: System },
): Promise<PcrValues> {
  const measured = path === null ? {} : await measuredPcrs(path, system);
  const values: Record<string, Record<string, string>> = {};
  for (const bank of banksOf(selection)) {
    for (const register of selection[bank] ?? []) {
      const value = measured[bank]?.[register] ?? (await kernelValue(system, bank, register));
      if (value === null)
        throw new EvidenceProblem(`There is no value of PCR ${register} of the ${bank} bank on this device`);
      (values[bank] ??= {})[register] = value;
    }
  }
  return values;
}

/** @throws FileProblem */
export async function measuredPcrs(path: string, system: System): Promise<PcrValues> {
  const bytes = await system.readFile(path);
  if (bytes === null) throw new FileProblem(path, 'cannot be read', 'Correct the path, or put the file there.');
  const values = parseMeasuredPcrs(bytes.toString());
  if (values !== null) return values;
  throw new FileProblem(
    path,
    'does not hold register values',
    'It holds {"sha256": {"0": "…"}}: values in hex, by bank and register.',
  );
}

/** Values as `tpm2_pcrread` prints them are good too; `null` for anything else. */
export function parseMeasuredPcrs(text: string): PcrValues | null {
  try {
    const value = JSON.parse(text) as Record<string, Record<string, unknown>>;
    const values: Record<string, Record<string, string>> = {};
    for (const bank of banksOf(value)) {
      const registers = Object.entries(value[bank] ?? {});
      values[bank] = Object.fromEntries(registers.map(([register, hex]) => [register, plain(hex, bank)]));
    }
    return Object.keys(values).length === 0 ? null : values;
  } catch {
    return null;
  }
}

function plain(hex: unknown, bank: PcrBank): string {
  return readPcrValue(typeof hex === 'string' ? hex.trim().toLowerCase().replace(/^0x/, '') : hex, bank);
}

/** Linux shows the registers of its TPM since 5.12. */
async function kernelValue(system: System, bank: PcrBank, register: number): Promise<string | null> {
  if (system.platform !== 'linux') return null;
  const bytes = await system.readFile(`/sys/class/tpm/tpm0/pcr-${bank}/${register}`);
  try {
    return bytes === null ? null : plain(bytes.toString(), bank);
  } catch {
    return null;
  }
}

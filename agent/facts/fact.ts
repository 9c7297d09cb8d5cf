// What a fact is: one look at the machine. What cannot be found out is null, never a guess.
import type { Observation } from '../device.ts';
import type { System } from '../system.ts';

export type Fact = (system: System) => Promise<Observation>;

/** The longest text that a posture may hold. */
const longestText = 256;

/** Text from the machine as the server takes it: one line without control characters; null when nothing is left. */
export function clean(text: string | null | undefined): string | null {
  const line = (text ?? '').replaceAll(/[\p{Cc}\p{Cs}\s]+/gu, ' ').trim();
  return line === '' ? null : line.slice(0, longestText);
}

/** A number in the registry, from what `reg query … /v NAME` prints. */
export function registryNumber(output: string | null, name: string): number | null {
  const digits = new RegExp(`^\\s*${name}\\s+REG_DWORD\\s+0x([0-9a-f]{1,8})\\s*$`, 'im').exec(output ?? '')?.[1];
  return digits === undefined ? null : Number.parseInt(digits, 16);
}

/** A text in the registry. */
export function registryText(output: string | null, name: string): string | null {
  return clean(new RegExp(`^\\s*${name}\\s+REG_SZ\\s+(.+)$`, 'im').exec(output ?? '')?.[1]);
}

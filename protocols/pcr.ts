// Platform configuration registers: which ones are asked for, and what is reported to be in them (TPM 2.0 Part 1 §17).
import { evidenceFault, membersOf } from './evidence-fault.ts';
import { Malformed } from './malformed.ts';

/** Banks by the hash that their registers hold, and the bytes of a register. SHA-1 banks prove nothing any more. */
export const pcrBanks = { sha256: 32, sha384: 48 } as const;
export type PcrBank = keyof typeof pcrBanks;

/** Registers of each bank, ascending, each at most once. Neither the selection nor a bank of it is ever empty. */
export type PcrSelection = Readonly<Partial<Record<PcrBank, readonly number[]>>>;
/** Lower-case hex by bank and register: `{"sha256": {"0": "…"}}`. */
export type PcrValues = Readonly<Partial<Record<PcrBank, Readonly<Record<string, string>>>>>;

/** Those that every platform has (PC Client Platform TPM Profile §4.6.1). */
const largestRegister = 23;

/** Tells whether this is the name of a bank that is used here. */
export function isPcrBank(name: string): name is PcrBank {
  return Object.hasOwn(pcrBanks, name);
}

/** The banks of a selection or of values, in the one order that they are always gone through. */
export function banksOf(banks: Readonly<Partial<Record<PcrBank, unknown>>>): PcrBank[] {
  return Object.keys(banks).filter(isPcrBank).toSorted();
}

/** @throws Malformed */
export function readPcrIndex(text: string): number {
  if (!/^(0|[1-9]\d?)$/.test(text) || Number(text) > largestRegister) throw new Malformed('not the number of a PCR');
  return Number(text);
}

/** @throws Malformed */
export function readPcrValue(value: unknown, bank: PcrBank): string {
  const digits = pcrBanks[bank] * 2;
  if (typeof value !== 'string' || value.length !== digits || !/^[0-9a-f]+$/.test(value))
    throw new Malformed(`a ${bank} PCR is not ${digits} lower-case hex digits`);
  return value;
}

/**
 * Reads the values that a device reports, which must be of the registers that it was asked for and of no others.
 *
 * @param value     Untrusted.
 * @param selection What the challenge asked for.
 * @throws TrustError `attestation.failed`, and Malformed
 */
export function readPcrValues(value: unknown, selection: PcrSelection): PcrValues {
  const banks = banksOf(selection);
  const reported = membersOf(value, banks);
  return Object.fromEntries(
    banks.map((bank) => {
      const asked = (selection[bank] ?? []).map(String);
      const values = membersOf(reported[bank], [], Object.keys(Object(reported[bank])));
      const missing = asked.find((index) => !Object.hasOwn(values, index));
      if (missing !== undefined || Object.keys(values).length !== asked.length) {
        const which = missing === undefined ? 'PCRs that were not asked for' : `no PCR ${missing}`;
        throw evidenceFault('pcr_selection', `The evidence reports ${which} of the ${bank} bank`, { facts: { bank } });
      }
      return [bank, Object.fromEntries(asked.map((index) => [index, readPcrValue(values[index], bank)]))];
    }),
  );
}

/**
 * Requires that something is asked for, in the form that everything here relies on. A challenge that asks for nothing
 * would be answered by nothing.
 *
 * @throws RangeError: the caller is wrong, not the evidence
 */
export function requireSelection(selection: PcrSelection): void {
  const good = Object.entries(selection).every(
    ([bank, registers]) =>
      isPcrBank(bank) &&
      registers.length > 0 &&
      registers.every(
        (register, position) =>
          Number.isInteger(register) && register <= largestRegister && register > (registers[position - 1] ?? -1),
      ),
  );
  if (!good || Object.keys(selection).length === 0) throw new RangeError('not a selection of PCRs');
}

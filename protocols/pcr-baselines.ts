// Reference values (RFC 9334 §2.1): which register values are approved, and for which devices.
import { TrustError } from '#contracts/problems.ts';
import { evidenceFault, membersOf } from './evidence-fault.ts';
import { Malformed } from './malformed.ts';
import {
  banksOf,
  isPcrBank,
  readPcrIndex,
  readPcrValue,
  type PcrBank,
  type PcrSelection,
  type PcrValues,
} from './pcr.ts';

/** Approved values by bank and register, lower-case hex. */
type ApprovedValues = Readonly<Partial<Record<PcrBank, Readonly<Record<string, readonly string[]>>>>>;

export interface PcrBaseline {
  /** A device is meant when all of these are among the tags that operators gave it; none means every device. */
  readonly matchTags: readonly string[];
  /** Nothing in it means that nothing is approved. */
  readonly pcrs: ApprovedValues;
}

const setting = 'SENTINEL_ATTESTATION_PCR_BASELINES_JSON';
const maximumBaselines = 1000;

/**
 * Reads the setting: `{"sha256": {"0": ["hex", …]}}` for all devices, or a list of `{match_tags: [], pcrs: {…}}`.
 * Values may be spelled as `tpm2_pcrread` prints them.
 *
 * @throws TrustError `request.invalid`, which says what is wrong with it
 */
export function parsePcrBaselines(json: string): readonly PcrBaseline[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw wrong('it is not JSON', cause);
  }
  return readPcrBaselines(value);
}

/**
 * The same, once it has been parsed.
 *
 * @throws TrustError `request.invalid`, which says what is wrong with it
 */
export function readPcrBaselines(value: unknown): readonly PcrBaseline[] {
  try {
    if (!Array.isArray(value)) return [{ matchTags: [], pcrs: readApproved(value) }];
    if (value.length > maximumBaselines) throw new Malformed(`more than ${maximumBaselines} baselines`);
    return value.map((entry: unknown) => {
      const { match_tags, pcrs } = membersOf(entry, ['match_tags', 'pcrs']);
      if (!Array.isArray(match_tags) || !match_tags.every((tag) => typeof tag === 'string' && tag !== ''))
        throw new Malformed('match_tags is not a list of tags');
      return { matchTags: match_tags as string[], pcrs: readApproved(pcrs) };
    });
  } catch (cause) {
    throw wrong(cause instanceof Malformed ? cause.message : 'it cannot be read', cause);
  }
}

function wrong(why: string, cause: unknown): TrustError {
  return new TrustError('request.invalid', { detail: `${setting}: ${why}`, cause });
}

/**
 * The baselines that count for a device: of those that match its assigned tags, the ones that ask for most tags. What
 * devices say of themselves plays no part.
 *
 * @returns Alternatives, each of which is enough. None means that nothing is approved for this device.
 */
export function baselinesFor(
  baselines: readonly PcrBaseline[],
  assignedTags: readonly string[],
): readonly PcrBaseline[] {
  const matching = baselines.filter(({ matchTags }) => matchTags.every((tag) => assignedTags.includes(tag)));
  const distinct = ({ matchTags }: PcrBaseline): number => new Set(matchTags).size;
  const most = Math.max(...matching.map(distinct));
  return matching.filter((baseline) => distinct(baseline) === most);
}

/**
 * The registers to ask a device for: all that its baselines name.
 *
 * @throws TrustError `attestation.failed` when they name none
 */
export function selectionOf(baselines: readonly PcrBaseline[]): PcrSelection {
  const banks = new Set(baselines.flatMap(({ pcrs }) => banksOf(pcrs)));
  const selection: Partial<Record<PcrBank, number[]>> = {};
  for (const bank of [...banks].toSorted()) {
    const registers = baselines.flatMap(({ pcrs }) => Object.keys(pcrs[bank] ?? {}).map(Number));
    if (registers.length > 0) selection[bank] = [...new Set(registers)].toSorted((a, b) => a - b);
  }
  if (Object.keys(selection).length === 0) throw noBaseline();
  return selection;
}

/**
 * Requires that one of the baselines approves of every register that was measured.
 *
 * @param pcrs Of verified evidence.
 * @throws TrustError `attestation.failed`: with `bank` and `pcr` of the first register that differs from the baseline
 *   that comes closest
 */
export function requireApproved(pcrs: PcrValues, baselines: readonly PcrBaseline[]): true {
  const measured = banksOf(pcrs).flatMap((bank) =>
    Object.entries(pcrs[bank] ?? {}).map(([register, value]) => ({ bank, register, value })),
  );
  const useful = baselines.filter((baseline) =>
    banksOf(baseline.pcrs).some((bank) => baseline.pcrs[bank] !== undefined),
  );
  if (measured.length === 0 || useful.length === 0) throw noBaseline();
  const differences = useful.map((baseline) =>
    measured.filter(({ bank, register, value }) => baseline.pcrs[bank]?.[register]?.includes(value) !== true),
  );
  const [closest = []] = differences.toSorted((a, b) => a.length - b.length);
  const [first] = closest;
  if (first === undefined) return true;
  const others = closest.length === 1 ? '' : ` (and ${closest.length - 1} more)`;
  throw evidenceFault(
    'pcr_mismatch',
    `PCR ${first.register} of the ${first.bank} bank is not an approved value${others}`,
    {
      facts: { bank: first.bank, pcr: Number(first.register), differing: closest.length },
    },
  );
}

function readApproved(value: unknown): ApprovedValues {
  const banks = membersOf(value, [], Object.keys(Object(value)));
  return Object.fromEntries(
    Object.entries(banks).map(([bank, registers]) => {
      if (!isPcrBank(bank)) throw new Malformed('it has a bank that is not sha256 or sha384');
      const values = membersOf(registers, [], Object.keys(Object(registers)));
      return [bank, Object.fromEntries(Object.entries(values).map((entry) => readRegister(bank, entry)))];
    }),
  );
}

function readRegister(bank: PcrBank, [register, values]: [string, unknown]): [string, string[]] {
  const index = readPcrIndex(register);
  if (!Array.isArray(values) || values.length === 0)
    throw new Malformed(`PCR ${index} of the ${bank} bank has no list of approved values`);
  return [
    String(index),
    values.map((value: unknown) =>
      readPcrValue(typeof value === 'string' ? value.toLowerCase().replace(/^0x/, '') : value, bank),
    ),
  ];
}

function noBaseline(): TrustError {
  return evidenceFault('baseline_missing', `No PCR values are approved for this device; see ${setting}`);
}

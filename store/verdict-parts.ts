// A verdict in two parts: what is new each time, and what a device that goes on has in common with the time before.
import type { AttestationCircumstances, Verdict } from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';

/** All that a verdict rests on but for what is the same for every device, and what it came to. */
export interface VerdictParts {
  readonly evidence: Json;
  readonly circumstances: AttestationCircumstances;
  readonly result: Verdict;
}

/** The members that repeat; of all else it is taken that it is new. */
interface Repeating {
  readonly [member: string]: true | Repeating;
}

const repeating: Repeating = {
  evidence: {
    provider: true,
    pcrs: true,
    ak_public: true,
    ek_certificate: true,
    ek_public: true,
    endorsement_chain: true,
    tpm_manufacturer: true,
    public_key: true,
    measurement: { device_id: true, pcrs: true },
  },
  circumstances: {
    device_id: true,
    challenge: { provider: true, selection: true },
    bound: true,
    proven: true,
    assigned_tags: true,
    external: true,
  },
  result: {
    outcome: true,
    code: true,
    reason: true,
    detail: true,
    key_id: true,
    binding_id: true,
    binding_source: true,
    manufacturer: true,
    pcrs: true,
  },
};

/** @returns parts that `unite` makes the whole of again, whatever somebody has sent */
export function divide(parts: VerdictParts): {
  readonly own: Readonly<Record<keyof VerdictParts, Json>>;
  readonly common: Json;
} {
  const { own, common } = divideBy(parts as unknown as Json, repeating);
  return { own: own as Record<keyof VerdictParts, Json>, common: common ?? {} };
}

function divideBy(value: Json, names: Repeating): { readonly own: Json; readonly common: Json | null } {
  if (!isObject(value)) return { own: value, common: null };
  const own: [string, Json][] = [];
  const common: [string, Json][] = [];
  for (const [name, member] of Object.entries(value)) {
    const repeats = Object.hasOwn(names, name) ? names[name] : undefined;
    if (repeats === true) common.push([name, member]);
    else if (repeats === undefined) own.push([name, member]);
    else {
      const inner = divideBy(member, repeats);
      own.push([name, inner.own]);
      if (inner.common !== null) common.push([name, inner.common]);
    }
  }
  return { own: Object.fromEntries(own), common: common.length === 0 ? null : Object.fromEntries(common) };
}

export function unite(own: Json, common: Json): Json {
  if (!isObject(own) || !isObject(common)) return own;
  return Object.fromEntries([
    ...Object.entries(common),
    ...Object.entries(own).map(([name, member]): [string, Json] => {
      const shared = Object.hasOwn(common, name) ? common[name] : undefined;
      return [name, shared === undefined ? member : unite(member, shared)];
    }),
  ]);
}

function isObject(value: Json): value is { readonly [name: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

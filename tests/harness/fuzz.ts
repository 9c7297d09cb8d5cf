// Feeds a decoder what it never asked for: good samples with a few things changed, hostile texts, and noise; the same for the same seed.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isProblemCode } from '#contracts/problems.ts';

export interface Decoder {
  /** Takes bytes as they come from outside; what it returns does not matter. */
  readonly decode: (bytes: Buffer) => unknown;
  /** Inputs that it takes, to begin from. */
  readonly samples: readonly (string | Buffer)[];
  /** Names of errors that callers turn into problems, beside problems themselves. */
  readonly refusesWith?: readonly string[];
  /** A share of the runs, for what is dear. */
  readonly share?: number;
}

export interface Budget {
  readonly seed: number;
  readonly runs: number;
}

/** What breaks parsers of all kinds. */
export const hostileTexts: readonly string[] = [
  '',
  '\0',
  '\u2028',
  '\ud800',
  '\uFEFF{}',
  'null',
  '[]',
  '{}',
  '""',
  '-0',
  '1e999',
  '9007199254740993',
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"a":1,"a":2}',
  '{"toString":1,"valueOf":1,"length":-1}',
  `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
  '"'.repeat(10_000),
  '\\'.repeat(10_001),
  '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n',
  `-----BEGIN CERTIFICATE-----\n${'A'.repeat(50_000)}\n-----END CERTIFICATE-----\n`,
  '-----BEGIN '.repeat(5_000),
  '%',
  '%00',
  '%ff%fe',
  '%E0%80%80',
  `${'a.'.repeat(10_000)}`,
  '..',
  '../../../etc/passwd',
  '$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA',
  'eyJhbGciOiJub25lIn0.e30.',
  "' OR 1=1 --",
  '\u001b[2J',
  '\r\n\r\nHTTP/1.1 200 OK',
  `x${' '.repeat(50_000)}x`,
];

/** @throws Error with the seed and the smallest input that does it */
export async function fuzz(name: string, decoder: Decoder, { seed, runs }: Budget): Promise<void> {
  const { decode, samples, refusesWith = [] } = decoder;
  const before = prototypes();
  const details = await fc.check(
    fc.asyncProperty(inputs(samples), async (bytes) => {
      try {
        await decode(bytes);
      } catch (error) {
        const { code, name: called } = error as { code?: unknown; name?: unknown };
        if (isProblemCode(code) && code !== 'internal.error') return;
        if (refusesWith.includes(String(called))) return;
        throw error;
      }
    }),
    { seed, numRuns: inputsOf(decoder, runs) },
  );
  if (details.failed) {
    const error = details.errorInstance as Error;
    // Keys among the samples are made anew each time, so that the seed alone does not always lead there again.
    const input = details.counterexample?.[0]?.subarray(0, 4_096).toString('base64');
    throw new Error(`${name} let out ${error.name}: ${error.message} (seed ${seed}, input in base64: ${input})`, {
      cause: error,
    });
  }
  assert.deepEqual(prototypes(), before, `${name} changed a prototype`);
}

/** How many inputs one budget is, of what is dear or is not. */
export function inputsOf({ share = 1 }: Decoder, runs: number): number {
  return Math.max(20, Math.ceil(runs * share));
}

function inputs(samples: readonly (string | Buffer)[]): fc.Arbitrary<Buffer> {
  const good = samples.map((sample) => Buffer.from(sample as string));
  const noise = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
  const text = fc.string({ unit: 'binary', maxLength: 200 }).map((chars) => Buffer.from(chars));
  const json = fc.json({ maxDepth: 5 }).map((chars) => Buffer.from(chars));
  const hostile = fc.constantFrom(...hostileTexts).map((chars) => Buffer.from(chars));
  if (good.length === 0) return fc.oneof(noise, text, json, hostile);
  const changed = fc
    .tuple(fc.constantFrom(...good), fc.array(changes(good), { minLength: 1, maxLength: 6 }))
    .map(([sample, all]): Buffer => all.reduce<Buffer>((bytes, change) => change(bytes), sample));
  return fc.oneof<fc.MaybeWeightedArbitrary<Buffer>[]>({ weight: 6, arbitrary: changed }, noise, text, json, hostile);
}

type Change = (bytes: Buffer) => Buffer;

function changes(samples: readonly Buffer[]): fc.Arbitrary<Change> {
  const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  const at = (bytes: Buffer, share: number): number => Math.floor(bytes.length * share);
  const splice = (bytes: Buffer, from: number, to: number, put: Uint8Array): Buffer =>
    Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(to)]).subarray(0, 100_000);
  return fc.oneof(
    // One bit.
    fc.tuple(place, fc.nat(7)).map(([share, bit]): Change => (bytes) => {
      const copy = Buffer.from(bytes);
      const index = at(bytes, share);
      if (index < copy.length) copy[index] = (copy[index] ?? 0) ^ (1 << bit);
      return copy;
    }),
    // One byte, of those that lengths and texts turn on.
    fc
      .tuple(place, fc.constantFrom(0, 1, 0x22, 0x2e, 0x2f, 0x30, 0x5c, 0x7f, 0x80, 0x82, 0x84, 0xff))
      .map(([share, byte]): Change => (bytes) => {
        const index = at(bytes, share);
        return splice(bytes, index, index + 1, Uint8Array.of(byte));
      }),
    fc.tuple(place, place).map(([one, other]): Change => (bytes) => {
      const [from, to] = [at(bytes, Math.min(one, other)), at(bytes, Math.max(one, other))];
      return splice(bytes, from, to, new Uint8Array());
    }),
    fc.tuple(place, place).map(([one, other]): Change => (bytes) => {
      const [from, to] = [at(bytes, Math.min(one, other)), at(bytes, Math.max(one, other))];
      return splice(bytes, to, to, bytes.subarray(from, to));
    }),
    place.map(
      (share): Change =>
        (bytes) =>
          bytes.subarray(0, at(bytes, share)),
    ),
    fc.tuple(place, fc.constantFrom(...hostileTexts)).map(([share, text]): Change => (bytes) => {
      const index = at(bytes, share);
      return splice(bytes, index, index, Buffer.from(text));
    }),
    // The head of one and the tail of another.
    fc.tuple(place, fc.constantFrom(...samples)).map(
      ([share, other]): Change =>
        (bytes) =>
          Buffer.concat([bytes.subarray(0, at(bytes, share)), other.subarray(at(other, share))]),
    ),
  );
}

/** Everything that hangs on the prototypes that all values share. */
function prototypes(): unknown {
  return [Object, Array, String, Number, Function, Buffer, Map, Set, Promise, Error].map(({ prototype }) =>
    Reflect.ownKeys(prototype as object).map(String),
  );
}

/** For what takes parsed JSON: bytes that are none never come so far, since the body was parsed before. */
export const ofJson =
  (read: (value: unknown) => unknown): Decoder['decode'] =>
  (bytes) => {
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString());
    } catch {
      return null;
    }
    return read(value);
  };

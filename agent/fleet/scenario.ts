// A scenario: what a fleet of simulated devices does, as data. A file that says something unknown or impossible is refused.
import { Type, type Static, type TObject, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Exactly, Names } from '#contracts/http/common.ts';
import { TrustError } from '#contracts/problems.ts';
import { sites } from './profiles.ts';

export const maximumDevices = 10_000;

const Share = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });
const Seconds = (description: string, maximum = 86_400) => Type.Number({ minimum: 0, maximum, description });

/** Who is meant: this share of the devices, or of those at the site. */
const who = {
  share: Type.Optional(Share('Part of the devices, chosen by the seed; all when absent')),
  site: Type.Optional(Type.Enum([...sites], { description: 'Only devices of this site' })),
};

/** What may happen at any heartbeat. */
const mishap = {
  ...who,
  chance: Share('How likely it is at each heartbeat'),
  from_seconds: Type.Optional(Seconds('Begin, after the start of the run')),
  until_seconds: Type.Optional(Seconds('End, after the start of the run')),
};

/** What happens once to each of the devices. */
const wave = {
  ...who,
  at_seconds: Seconds('When the first of them begins, after the start of the run'),
  over_seconds: Type.Optional(Seconds('How long until the last of them begins; all at once when absent')),
};

/** Each kind of behaviour with its fields. The description is what the docs say. */
export const behaviourKinds = {
  lost_request: Exactly(mishap, {
    description: 'The connection breaks before the request is written whole; the counter is not used',
  }),
  lost_answer: Exactly(mishap, {
    description:
      'The connection breaks when the request is written; the counter may be used. Half of these requests arrive a second time',
  }),
  duplicate: Exactly(mishap, { description: 'The same heartbeat over two connections at once; one of them counts' }),
  replay: Exactly(mishap, { description: 'A counter that was used is sent again' }),
  bad_counter: Exactly(mishap, { description: 'A counter that is none: missing, 0, −1, 1.5, "7", above 2^53 − 1' }),
  unknown_field: Exactly(mishap, { description: 'A field that the API does not know' }),
  wrong_name: Exactly(mishap, { description: 'The device reports under the name of its neighbour' }),
  no_certificate: Exactly(mishap, { description: 'A heartbeat without a client certificate' }),
  foreign_authority: Exactly(mishap, {
    description: 'A certificate for the right name from somebody else’s authority',
  }),
  expired_certificate: Exactly(mishap, { description: 'A certificate that ran out' }),
  wrong_usage: Exactly(mishap, { description: 'A certificate that was issued to servers' }),
  rotate: Exactly(wave, {
    description: 'A new certificate. The old one goes on until it is approved, a third one is refused meanwhile',
  }),
  restart: Exactly(wave, {
    description: 'The agent ends and begins again: a new connection, the next block of counters',
  }),
  forget_counter: Exactly(wave, { description: 'The agent’s state is lost: counters begin at 1 and are refused' }),
  silent: Exactly(
    { ...wave, for_seconds: Seconds('How long it lasts') },
    { description: 'Nothing is heard of the device for a while' },
  ),
  upgrade: Exactly(
    {
      ...wave,
      to: Type.String({ pattern: '^[0-9A-Za-z.+-]{1,64}$', description: 'The new version of the agent' }),
      fails: Type.Optional(Share('Part of the upgrades that fail: silent for 5 s, then the old version again')),
    },
    { description: 'The agent restarts as another version' },
  ),
  clock: Exactly(
    {
      ...who,
      ahead_seconds: Type.Optional(Seconds('The certificate is not valid before this long after it was issued', 3_600)),
      drift: Type.Optional(
        Type.Number({ minimum: 0.1, maximum: 10, description: 'The clock runs this many times as fast' }),
      ),
    },
    { description: 'A clock that is wrong' },
  ),
} as const;
export type BehaviourKind = keyof typeof behaviourKinds;
export type Behaviour = {
  [Kind in BehaviourKind]: { readonly kind: Kind } & Readonly<Static<(typeof behaviourKinds)[Kind]>>;
}[BehaviourKind];

export const scenarioSchema = Exactly({
  about: Type.String({ minLength: 1, maxLength: 400, description: 'What it is for, in a sentence' }),
  devices: Type.Integer({ minimum: 1, maximum: maximumDevices, description: 'How many; `--devices` says otherwise' }),
  duration_seconds: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: 'How long; until it is stopped when absent; `--duration` says otherwise',
    }),
  ),
  arrivals_per_second: Type.Number({
    minimum: 0.1,
    maximum: 2_000,
    description: 'Devices that begin each second; `--rate` says otherwise',
  }),
  interval_seconds: Type.Optional(
    Type.Number({
      minimum: 0.1,
      maximum: 3_600,
      description: 'Between heartbeats, instead of what the API asks for; `--interval` says otherwise',
    }),
  ),
  busy_share: Type.Optional(Share('Answers that may be 503 with Retry-After; 0.05 when absent')),
  with_people: Type.Optional(
    Type.Boolean({
      description: 'People decide and restart things meanwhile: what depends on them is counted, and not judged',
    }),
  ),
  approve: Type.Optional(
    Exactly(
      {
        by: Type.String({
          pattern: '^[A-Za-z0-9._-]{1,64}$',
          description: 'Who votes; the password is in SENTINEL_HOME/secrets/NAME.password; `--approver` says otherwise',
        }),
        share: Type.Optional(Share('Part of the devices that is voted for; all when absent')),
        reject_share: Type.Optional(Share('Part of these that is voted against')),
        after_seconds: Type.Optional(Seconds('How long a device waits at least')),
        leave: Type.Optional(
          Type.Integer({ minimum: 0, maximum: maximumDevices, description: 'The last devices, left to people' }),
        ),
      },
      { description: 'Votes on the devices of this fleet; none when absent' },
    ),
  ),
  behaviours: Type.Array(Type.Object({ kind: Names(Object.keys(behaviourKinds) as BehaviourKind[]) }), {
    maxItems: 64,
    description: 'What goes wrong, or happens; see below',
  }),
});
export interface Scenario extends Omit<Static<typeof scenarioSchema>, 'behaviours'> {
  /** First part of the names of its devices. */
  readonly name: string;
  readonly behaviours: readonly Behaviour[];
}

/**
 * Reads the text of a scenario.
 *
 * @param name Of the file, without ending; devices are called after it.
 * @throws TrustError `request.invalid`, naming the scenario and what is wrong with each field
 */
export function parseScenario(name: string, text: string): Scenario {
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name)) {
    throw refused(name, [
      'call the file by up to 32 lower-case letters, digits and hyphens, since its devices are called after it',
    ]);
  }
  const value = parseJson(name, text);
  const problems = problemsOf(scenarioSchema, value, '');
  if (problems.length === 0) {
    for (const [index, { kind, ...fields }] of (value as Scenario).behaviours.entries()) {
      const path = `/behaviours/${index}`;
      problems.push(...problemsOf(behaviourKinds[kind], fields, path));
      if ('until_seconds' in fields && Number(fields.until_seconds) <= (fields.from_seconds ?? 0))
        problems.push(`${path}/until_seconds must be after from_seconds`);
    }
  }
  if (problems.length > 0) throw refused(name, problems);
  return { name, ...(value as Omit<Scenario, 'name'>) };
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw refused(name, [`it is not JSON: ${(error as Error).message}`]);
  }
}

const compiled = new Map<TObject, { Errors(value: unknown): readonly SchemaError[] }>();

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: { readonly additionalProperties?: readonly string[]; readonly allowedValues?: readonly string[] };
}

function problemsOf(schema: TObject, value: unknown, path: string): string[] {
  const validator = compiled.get(schema) ?? Compile(schema as TSchema);
  compiled.set(schema, validator as never);
  return (
    (validator.Errors(value) as readonly SchemaError[])
      // Said of each unknown field, beside the error that names them all.
      .filter(({ keyword }) => keyword !== 'boolean')
      .map(({ instancePath, message, params }) => `${path}${instancePath} ${message}${namesIn(params)}`.trim())
  );
}

/** The fields or values that a message of the schema only speaks of. */
function namesIn(params: SchemaError['params']): string {
  const named = params.additionalProperties ?? params.allowedValues;
  return named === undefined ? '' : `: ${named.join(', ')}`;
}

function refused(name: string, problems: readonly string[]): TrustError {
  return new TrustError('request.invalid', { detail: `The scenario ${name} cannot be used: ${problems.join('; ')}` });
}

// The command line of the fleet, as data.
import { parseArgs } from 'node:util';
import { maximumDevices } from './scenario.ts';

export const usage = `Usage: npm run fleet -- --scenario NAME|FILE.json [options]
       npm run fleet:pause -- DEVICE…
       npm run fleet:resume -- [DEVICE…]

Options:
  --devices N       how many, up to ${maximumDevices}
  --duration S      how many seconds
  --rate R          devices that begin each second
  --interval S      seconds between heartbeats, instead of what the API asks for
  --seed N          what is left to chance is the same for the same seed (1)
  --approver NAME   who votes on the devices, instead of whom the scenario names
  --json            the report as JSON on standard output
  --log             a line of JSON for each change instead of progress and tables, for a supervisor
  --allow-remote    also against a server on another machine
  --attestation FILE
                    what some devices prove what they booted with, as keys of an agent's configuration by device:
                    {"demo-001": {"attestation_provider": "tpm_quote_v1", "tpm_quote_command": ["…"]}}
  --list            the scenarios that come with it`;

export interface RunArguments {
  readonly verb: 'run';
  readonly scenario: string;
  readonly devices: number | null;
  readonly durationSeconds: number | null;
  readonly rate: number | null;
  readonly intervalSeconds: number | null;
  readonly seed: number;
  readonly approver: string | null;
  readonly json: boolean;
  readonly log: boolean;
  readonly allowRemote: boolean;
  /** File of configurations. */
  readonly attestation: string | null;
}

export type FleetArguments =
  | RunArguments
  | { readonly verb: 'pause' | 'resume'; readonly deviceIds: readonly string[] }
  | { readonly verb: 'list' }
  | { readonly verb: 'wrong'; readonly reason: string };

/** Reads the arguments; `wrong` says what was not understood. */
export function readArguments(args: readonly string[]): FleetArguments {
  const [verb, ...deviceIds] = args;
  if (verb === 'resume' || (verb === 'pause' && deviceIds.length > 0)) return { verb, deviceIds };
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        scenario: { type: 'string', default: 'demo' },
        devices: { type: 'string' },
        duration: { type: 'string' },
        rate: { type: 'string' },
        interval: { type: 'string' },
        seed: { type: 'string', default: '1' },
        approver: { type: 'string' },
        json: { type: 'boolean', default: false },
        log: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        attestation: { type: 'string' },
        'allow-remote': { type: 'boolean', default: false },
      },
    });
    if (values.list) return { verb: 'list' };
    return {
      verb: 'run',
      scenario: values.scenario,
      devices: numberOf('devices', values.devices, { least: 1, most: maximumDevices, whole: true }),
      durationSeconds: numberOf('duration', values.duration, { least: 1, most: 86_400, whole: true }),
      rate: numberOf('rate', values.rate, { least: 0.1, most: 2_000 }),
      intervalSeconds: numberOf('interval', values.interval, { least: 0.1, most: 3_600 }),
      seed: numberOf('seed', values.seed, { least: 0, most: Number.MAX_SAFE_INTEGER, whole: true }) ?? 1,
      approver: values.approver ?? null,
      json: values.json,
      log: values.log,
      allowRemote: values['allow-remote'],
      attestation: values.attestation ?? null,
    };
  } catch (error) {
    return { verb: 'wrong', reason: (error as Error).message };
  }
}

function numberOf(
  name: string,
  text: string | undefined,
  { least, most, whole = false }: { least: number; most: number; whole?: boolean },
): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  const isNumber = /^\d+(\.\d+)?$/.test(text) && (Number.isInteger(value) || !whole);
  if (isNumber && value >= least && value <= most) return value;
  throw new RangeError(`--${name} takes a ${whole ? 'whole ' : ''}number from ${least} to ${most}`);
}

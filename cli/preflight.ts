// Judges a set of settings before a server uses it: what would be refused, what would be weak, and what to do about it.
import { TrustError } from '#contracts/problems.ts';
import { readSettings, type Settings, settings as table } from '#contracts/settings.ts';
import { checkAssertions } from './preflight/assertions.ts';
import type { Finding, PreflightOptions } from './preflight/finding.ts';
import { checkNetwork } from './preflight/network.ts';
import { checkPosture } from './preflight/posture.ts';
import { checkSecrets } from './preflight/secrets.ts';

export type { Files, Finding, PreflightOptions } from './preflight/finding.ts';

/** Everything there is to say about settings that can be read, errors first. */
export function preflight(settings: Settings, options: PreflightOptions): Finding[] {
  const check = { ...options, settings };
  return errorsFirst([
    ...checkSecrets(check),
    ...checkPosture(check),
    ...checkNetwork(check),
    ...checkAssertions(check),
  ]);
}

/** Reads the settings from an environment first; what cannot be read is an error by itself. */
export function preflightEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  options: PreflightOptions,
): Finding[] {
  const misspelt = unknownNames(environment);
  try {
    return errorsFirst([...misspelt, ...preflight(readSettings(environment), options)]);
  } catch (cause) {
    if (!(cause instanceof TrustError)) throw cause;
    return errorsFirst([...misspelt, ...mistakesOf(cause)]);
  }
}

export function hasErrors(findings: readonly Finding[]): boolean {
  return findings.some(({ level }) => level === 'error');
}

/** A misspelt setting has no effect, which nobody would notice. */
function unknownNames(environment: Readonly<Record<string, string | undefined>>): Finding[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith('SENTINEL_') && !Object.hasOwn(table, name))
    .map((setting) => ({
      level: 'warning',
      setting,
      problem: 'is not a setting and has no effect',
      advice: 'Look it up in docs/settings.md.',
    }));
}

function mistakesOf(error: TrustError): Finding[] {
  return error.message.split('\n').map((line) => {
    const [setting = '', ...reason] = line.split(': ');
    return { level: 'error', setting, problem: reason.join(': '), advice: 'Look it up in docs/settings.md.' };
  });
}

function errorsFirst(findings: readonly Finding[]): Finding[] {
  return findings.toSorted((a, b) => Number(b.level === 'error') - Number(a.level === 'error'));
}

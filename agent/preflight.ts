// Looks at everything an agent needs before it runs, and says what to do about what is missing. Sends no heartbeat.
import type { Clock, Random } from '#contracts/deps.ts';
import type { AgentConfig } from './config.ts';
import { checkAttestation, type AttestationCheckDeps } from './preflight/attestation.ts';
import { checkAccess } from './preflight/files.ts';
import { type Finding, ok } from './preflight/finding.ts';
import { checkIdentity } from './preflight/identity.ts';
import { checkLater } from './preflight/later.ts';
import { checkServer } from './preflight/server.ts';
import { checkState } from './preflight/state.ts';

export type { Finding } from './preflight/finding.ts';

export interface PreflightDeps extends AttestationCheckDeps {
  readonly clock: Clock;
  readonly random: Random;
}

/** @param configPath File that the configuration is from; `null` when it is from the command line. */
export async function preflight(
  config: AgentConfig,
  configPath: string | null,
  { clock, random, userId, system, searchPath }: PreflightDeps,
): Promise<Finding[]> {
  const now = clock.now();
  const { identity, findings } = await checkIdentity(config, { now, userId });
  return [
    ok('configuration', `Every key of ${configPath ?? 'the command line'} is as it should be`),
    ...(configPath === null ? [] : await checkAccess('configuration', configPath, { isSecret: false, userId })),
    ...findings,
    ...(await checkState(config, { random, userId })),
    ...(identity === null ? [] : await checkServer(config, identity, () => clock.now())),
    ...(await checkAttestation(config, { system, userId, searchPath })),
    ...(await checkLater(config, userId)),
  ];
}

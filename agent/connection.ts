// The connection of an agent to its server. A certificate that is replaced on disk is used from the next heartbeat on.
import { stat } from 'node:fs/promises';
import { unreachable } from '#client/api-problem.ts';
import { createHeartbeatClient, type SendHeartbeat } from '#client/heartbeat.ts';
import type { Log, Random } from '#contracts/deps.ts';
import type { HeartbeatAnswer } from '#contracts/http/heartbeat.ts';
import { trustTiers } from '#contracts/states.ts';
import type { AgentConfig } from './config.ts';
import { readIdentity, type Identity } from './identity.ts';
import { createAgentTransport } from './transport.ts';

export interface Connection {
  readonly send: SendHeartbeat;
  readonly identity: () => Identity;
  close(): void;
}

/**
 * Reads the identity and makes the connection, which opens with the first heartbeat.
 *
 * @throws FileProblem
 */
export async function openConnection(
  config: AgentConfig,
  { log, random }: { readonly log: Log; readonly random: Random },
): Promise<Connection> {
  const paths = [config.certificate_path, config.private_key_path, config.server_ca_path].filter(
    (path) => path !== null,
  );
  let looked = await stampOf(paths);
  let identity = await readIdentity(config, config.device_id);
  let transport = createAgentTransport(identity);
  const send = createHeartbeatClient({
    baseUrl: config.server_url,
    fetch: (url, init) => transport.fetch(url, init),
    random,
  });

  async function refresh(): Promise<void> {
    const stamp = await stampOf(paths);
    if (stamp === looked) return;
    looked = stamp;
    try {
      const next = await readIdentity(config, config.device_id);
      const isSame = next.certificate === identity.certificate && next.key === identity.key && next.ca === identity.ca;
      if (isSame) return;
      transport.close();
      transport = createAgentTransport(next);
      identity = next;
      log.info(
        { fingerprint_sha256: next.fingerprint, not_after: next.notAfter.toISOString() },
        'The certificate was replaced on disk and is used from now on',
      );
    } catch (error) {
      // Key and certificate are two files, so one of them may not be there yet: each change is looked at again.
      log.warn(
        { reason: (error as Error).message },
        'The files of the certificate have changed and cannot be used yet',
      );
    }
  }

  return {
    send: async (body, signal) => {
      await refresh();
      return checkAnswer(await send(body, signal));
    },
    identity: () => identity,
    close: () => transport.close(),
  };
}

/**
 * Whoever answers at the wrong address may answer anything, and a time that is no number would be no wait at all.
 *
 * @throws ApiProblem
 */
function checkAnswer(answer: HeartbeatAnswer): HeartbeatAnswer {
  const { status, trust_tier, next_heartbeat_seconds: seconds } = Object(answer) as HeartbeatAnswer;
  const isKnown = ['accepted', 'pending'].includes(status) && trustTiers.includes(trust_tier);
  if (isKnown && Number.isFinite(seconds)) return answer;
  throw unreachable('The answer is not one of Sentinel: check server_url.', answer);
}

/** Changes when one of the files does; cheap enough for every heartbeat. */
async function stampOf(paths: readonly string[]): Promise<string> {
  const marks = paths.map(async (path) => {
    const found = await stat(path, { bigint: true }).catch(() => null);
    return found === null ? 'none' : `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
  });
  return (await Promise.all(marks)).join('\n');
}

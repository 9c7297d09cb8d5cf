// The connection of an agent to its server. A certificate that is replaced on disk is shown from the next heartbeat on;
// the one before it goes on until people have approved the new one, also through a restart.
import { stat } from 'node:fs/promises';
import { ApiProblem, unreachable } from '#client/api-problem.ts';
import { createHeartbeatClient, type SendHeartbeat } from '#client/heartbeat.ts';
import type { Log, Random } from '#contracts/deps.ts';
import type { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import { trustTiers } from '#contracts/states.ts';
import type { AgentConfig } from './config.ts';
import type { NextCounter } from './counter.ts';
import { readIdentity, restoreIdentity, type Identity, type KeptIdentity } from './identity.ts';
import { createAgentTransport } from './transport.ts';

export interface Connection {
  readonly send: SendHeartbeat;
  /** What the device is known by. */
  readonly identity: () => Identity;
  /** What is on disk in its place and not approved yet. */
  readonly waiting: () => Identity | null;
  close(): Promise<void>;
}

/** Where the identity that was replaced on disk outlives the process while it is still in use. */
export interface ReplacedStore {
  readonly kept: unknown;
  /** Resolves when it is on disk; `null` when the one of the files is the only one. */
  keep(identity: KeptIdentity | null): Promise<void>;
}

export interface ConnectionDeps {
  readonly log: Log;
  readonly random: Random;
  /** A heartbeat with another certificate is another one: it needs a counter of its own. */
  readonly nextCounter: NextCounter;
  readonly replaced: ReplacedStore;
}

/** One certificate, and the connection that it is shown on. */
interface Link {
  readonly identity: Identity;
  readonly send: SendHeartbeat;
  /** Whether the server took it, also as one that waits, when it was last asked. */
  isTaken: boolean;
  close(): void;
}

/** The new certificate while the old one goes on. */
interface Waiting {
  readonly link: Link;
  /** What was last said about it in the log. */
  told: string;
  /** It is not shown again before its files change. */
  isOver: boolean;
}

/** Nothing but another certificate helps. */
const refusedForGood: readonly ProblemCode[] = ['device.rejected', 'certificate.revoked', 'certificate.expired'];
/** The certificate itself is refused: what takes its place need not wait for it any more. */
const refusesCertificate: readonly ProblemCode[] = [
  ...refusedForGood,
  'certificate.untrusted',
  'certificate.not_yet_valid',
  'certificate.wrong_usage',
  'certificate.name_mismatch',
];

/**
 * Reads the identity and makes the connection, which opens with the first heartbeat.
 *
 * @throws FileProblem
 */
export async function openConnection(
  config: AgentConfig,
  { log, random, nextCounter, replaced }: ConnectionDeps,
): Promise<Connection> {
  const paths = [config.certificate_path, config.private_key_path, config.server_ca_path].filter(
    (path) => path !== null,
  );
  const open = (identity: Identity): Link => openLink(config.server_url, identity, random);
  let looked = await stampOf(paths);
  let current = open(await readIdentity(config, config.device_id));
  let waiting: Waiting | null = null;
  let isKept = replaced.kept !== undefined;
  await restore();

  /** Goes on where the agent before this one was: it wrote down whom the server took, and the new one waits. */
  async function restore(): Promise<void> {
    if (!isKept) return;
    const found = current.identity;
    const before = restoreIdentity(replaced.kept, found.ca, config.device_id);
    if (before === null || isSame(before, found)) return keep(null);
    waiting = beginWaiting(current);
    current = Object.assign(open(before), { isTaken: true });
    log.info(factsOf(found), 'The certificate on disk is new: the one before it goes on until the new one is approved');
  }

  /** What cannot be written down is lost with the process, and no reason to keep silent. */
  async function keep(identity: Identity | null): Promise<void> {
    if (identity === null && !isKept) return;
    try {
      await replaced.keep(identity === null ? null : { certificate: identity.certificate, private_key: identity.key });
      isKept = identity !== null;
    } catch (error) {
      log.warn(
        { reason: (error as Error).message },
        'The certificate in use cannot be written down: a restart has only what is on disk',
      );
    }
  }

  async function refresh(): Promise<void> {
    const stamp = await stampOf(paths);
    if (stamp === looked) return;
    looked = stamp;
    try {
      await take(await readIdentity(config, config.device_id));
    } catch (error) {
      // Key and certificate are two files, so one of them may not be there yet: each change is looked at again.
      log.warn(
        { reason: (error as Error).message },
        'The files of the certificate have changed and cannot be used yet',
      );
    }
  }

  async function take(found: Identity): Promise<void> {
    const { ca } = found;
    if (ca !== current.identity.ca) {
      // Whom to trust the server by does not depend on who the device is.
      current = reopened(current, { ...current.identity, ca });
      if (waiting !== null) waiting = { ...waiting, link: reopened(waiting.link, { ...waiting.link.identity, ca }) };
    }
    if (isSame(found, waiting?.link.identity)) return;
    waiting?.link.close();
    waiting = null;
    if (isSame(found, current.identity)) return keep(null);
    const fields = factsOf(found);
    if (current.isTaken) {
      waiting = beginWaiting(open(found));
      await keep(current.identity);
      log.info(fields, 'The certificate was replaced on disk: the one before it goes on until the new one is approved');
    } else {
      current = reopened(current, found);
      await keep(null);
      log.info(fields, 'The certificate was replaced on disk and is used from now on');
    }
  }

  function reopened(link: Link, identity: Identity): Link {
    link.close();
    return Object.assign(open(identity), { isTaken: link.isTaken && isSame(identity, link.identity) });
  }

  /** The new certificate is the only one from here on. */
  async function drop(old: Link, { link }: Waiting, why: string): Promise<void> {
    old.close();
    current = link;
    waiting = null;
    await keep(null);
    log.info({ fingerprint_sha256: link.identity.fingerprint, before: old.identity.fingerprint }, why);
  }

  /** Shows the new certificate; whatever comes of it is no reason to keep silent with the old one. */
  async function show(shown: Waiting, body: HeartbeatBody, signal?: AbortSignal): Promise<HeartbeatAnswer | null> {
    try {
      // A nonce is used once, and it is the certificate that is in use which speaks for the device.
      const { attestation: _, ...ownBody } = body;
      const answer = await shown.link.send(ownBody, signal);
      if (answer.status === 'pending') {
        const advice = `Approve it in the console, or with: sentinel device approve ${config.device_id}`;
        tell(shown, 'info', { advice }, 'The new certificate waits for approval');
      }
      return answer;
    } catch (error) {
      if (signal?.aborted === true || !(error instanceof ApiProblem)) throw error;
      const { code, status, advice } = error;
      shown.isOver = isOneOf(refusedForGood, error);
      if (status === 0) tell(shown, 'warn', { reason: error.message }, 'The new certificate does not get through');
      else if (shown.isOver)
        tell(shown, 'warn', { code, advice }, 'The new certificate is refused for good: put another one in its place');
      else tell(shown, 'warn', { code, advice }, `The new certificate is refused: ${error.title} (${code})`);
      return null;
    }
  }

  function tell(shown: Waiting, level: 'info' | 'warn', fields: object, message: string): void {
    if (shown.told !== message) log[level]({ fingerprint_sha256: shown.link.identity.fingerprint, ...fields }, message);
    shown.told = message;
  }

  async function send(body: HeartbeatBody, signal?: AbortSignal): Promise<HeartbeatAnswer> {
    await refresh();
    const shown = waiting;
    if (shown === null) return current.send(body, signal);
    const old = current;
    let answer: HeartbeatAnswer | null = null;
    let ownBody = body;
    // First, since the answer that accepts it is the one that refuses the old one.
    if (!shown.isOver) {
      answer = await show(shown, body, signal);
      if (answer?.status === 'accepted') {
        await drop(old, shown, 'The new certificate is accepted, and the one before it is not used any more');
        return answer;
      }
      ownBody = { ...body, heartbeat_counter: await nextCounter() };
    }
    try {
      return await old.send(ownBody, signal);
    } catch (error) {
      if (!isOneOf(refusesCertificate, error)) throw error;
      await drop(old, shown, 'The certificate before the new one is refused and not used any more');
      if (answer !== null) return answer;
      throw error;
    }
  }

  return {
    send,
    identity: () => current.identity,
    waiting: () => waiting?.link.identity ?? null,
    close: async () => {
      // What was replaced since the last heartbeat is all that would be known after a restart.
      await refresh();
      current.close();
      waiting?.link.close();
    },
  };
}

function openLink(baseUrl: string, identity: Identity, random: Random): Link {
  const transport = createAgentTransport(identity);
  const send = createHeartbeatClient({ baseUrl, fetch: transport.fetch, random });
  const link: Link = {
    identity,
    isTaken: false,
    close: transport.close,
    send: async (body, signal) => {
      try {
        const answer = checkAnswer(await send(body, signal));
        link.isTaken = true;
        return answer;
      } catch (error) {
        if (isOneOf(refusesCertificate, error)) link.isTaken = false;
        throw error;
      }
    },
  };
  return link;
}

const beginWaiting = (link: Link): Waiting => ({ link, told: '', isOver: false });

const factsOf = ({ fingerprint, notAfter }: Identity) => ({
  fingerprint_sha256: fingerprint,
  not_after: notAfter.toISOString(),
});

const isSame = (one: Identity, other: Identity | undefined): boolean =>
  one.certificate === other?.certificate && one.key === other.key;

const isOneOf = (codes: readonly ProblemCode[], error: unknown): boolean =>
  error instanceof ApiProblem && error.status !== 0 && codes.includes(error.code);

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

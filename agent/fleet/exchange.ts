// Single requests in the name of one device, each with its answer judged.
import { ApiProblem } from '#client/api-problem.ts';
import { createHeartbeatClient } from '#client/heartbeat.ts';
import type { Fetch } from '#client/request.ts';
import type { Random } from '#contracts/deps.ts';
import type { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { openConnection, type Break } from './connection.ts';
import type { FleetIdentity } from './identity.ts';
import type { Judge } from './judge.ts';
import type { Answered, Sent } from './oracle.ts';
import type { ActKind } from './plan.ts';

export interface Request {
  readonly act: ActKind;
  readonly body: HeartbeatBody;
  readonly identity: FleetIdentity | null;
  /** Over a connection of its own when absent. */
  readonly fetch?: Fetch;
  /** False for a body that does not fit the schema, on purpose. */
  readonly wellFormed?: boolean;
  /** The network is about to break, so that no answer is what is expected. */
  readonly planned?: Break;
}

export interface Exchange {
  /** Rejects like the client of the API. */
  send(request: Request): Promise<HeartbeatAnswer>;
  /** By somebody who does not act on the answer; null when there is none. */
  provoke(request: Request): Promise<Answered | null>;
}

export interface ExchangeDeps {
  readonly deviceUrl: string;
  /** Authority to trust the server with (PEM). */
  readonly serverCa: string;
  readonly random: Random;
  readonly elapsedMs: () => number;
  readonly judge: Judge;
}

export function createExchange(deps: ExchangeDeps, deviceId: string, signal: AbortSignal): Exchange {
  async function send(request: Request): Promise<HeartbeatAnswer> {
    if (request.fetch !== undefined) return sendOver(request.fetch, request);
    const connection = openConnection({ ca: deps.serverCa, identity: request.identity });
    try {
      return await sendOver(connection.fetch, request);
    } finally {
      connection.close();
    }
  }

  async function sendOver(through: Fetch, { act, body, identity, wellFormed, planned }: Request) {
    const pending = deps.judge.sends(deviceId, act, sentOf(body, identity, wellFormed));
    const heard: { status: number; requestId: string | null } = { status: 0, requestId: null };
    const fetch: Fetch = async (url, init) => {
      const answer = await through(url, init);
      heard.status = answer.status;
      heard.requestId = answer.headers.get('x-request-id');
      return answer;
    };
    const startedMs = deps.elapsedMs();
    const conclude = (answered: Answered, retryAfterSeconds: number | null, detail: string): void =>
      pending.answered({ answered, ...heard, retryAfterSeconds, detail, ms: deps.elapsedMs() - startedMs });
    try {
      const answer = await createHeartbeatClient({ baseUrl: deps.deviceUrl, fetch, random: deps.random })(body, signal);
      conclude(answer.status, null, `the tier is ${answer.trust_tier}`);
      return answer;
    } catch (error) {
      if (planned !== undefined) pending.lost(planned);
      else if (signal.aborted) pending.lost('stopped');
      else if (error instanceof ApiProblem && error.status !== 0)
        conclude(error.code, error.retryAfterSeconds, error.detail);
      else pending.unanswered((error as Error).message);
      throw error;
    }
  }

  return {
    send,
    async provoke(request) {
      try {
        return (await send(request)).status;
      } catch (error) {
        if (error instanceof ApiProblem) return error.status === 0 ? null : error.code;
        if (signal.aborted) return null;
        throw error;
      }
    },
  };
}

/** What the oracle has to know of a request. */
export function sentOf(body: HeartbeatBody, identity: FleetIdentity | null, wellFormed = true): Sent {
  return {
    counter: body.heartbeat_counter,
    agentVersion: body.agent_version ?? '',
    certificate: identity,
    namesItself: identity === null || identity.deviceId === body.device_id,
    wellFormed,
  };
}

// The device's side of POST /api/heartbeat. The certificate is the credential, so the transport carries it.
import type { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { createCaller, type CallerOptions } from './request.ts';

export type SendHeartbeat = (body: HeartbeatBody, signal?: AbortSignal) => Promise<HeartbeatAnswer>;

/**
 * Makes the function that sends one heartbeat, once: a counter may be used up although its answer was lost, so another
 * attempt needs another counter, and that is the caller's to choose. Rejects with an ApiProblem.
 */
export function createHeartbeatClient(
  options: Pick<CallerOptions, 'baseUrl' | 'fetch' | 'random' | 'timeoutMs'>,
): SendHeartbeat {
  const call = createCaller({ ...options, attempts: 1 });
  return async (body, signal) =>
    (await call({
      method: 'POST',
      path: '/api/heartbeat',
      body,
      idempotencyKey: null,
      ...(signal ? { signal } : {}),
    })) as HeartbeatAnswer;
}

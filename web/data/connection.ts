// Whether the API answers, and what time it is there: learnt from every call the console makes.
import type { Fetch } from '#client/request.ts';

export interface ConnectionState {
  /** Milliseconds since the epoch when calls began to fail; null while they are answered. */
  readonly lostSince: number | null;
}

export interface Connection {
  readonly fetch: Fetch;
  readonly state: () => ConnectionState;
  readonly subscribe: (changed: () => void) => () => void;
  /** The present by the server's clock, so that "4 s ago" is right on a machine whose clock is wrong. */
  readonly nowMs: () => number;
}

/** Below this the difference is the resolution of the Date header and the way of the answer. */
const toleratedSkewMs = 3000;

/** Wraps `fetch`. Any answer, also a refusal, is a connection; an aborted call says nothing. */
export function createConnection(send: Fetch, localNowMs: () => number): Connection {
  let state: ConnectionState = { lostSince: null };
  let skewMs = 0;
  const listeners = new Set<() => void>();

  function become(lostSince: number | null): void {
    if ((lostSince === null) === (state.lostSince === null)) return;
    state = { lostSince };
    for (const changed of listeners) changed();
  }

  return {
    state: () => state,
    subscribe: (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    nowMs: () => localNowMs() + skewMs,
    fetch: async (url, init) => {
      try {
        const answer = await send(url, init);
        const serverMs = Date.parse(answer.headers.get('date') ?? '');
        if (!Number.isNaN(serverMs)) {
          const difference = serverMs - localNowMs();
          skewMs = Math.abs(difference) > toleratedSkewMs ? difference : 0;
        }
        become(null);
        return answer;
      } catch (error) {
        const timedOut = (init.signal.reason as { name?: string } | undefined)?.name === 'TimeoutError';
        if (!init.signal.aborted || timedOut) become(state.lostSince ?? localNowMs());
        throw error;
      }
    },
  };
}

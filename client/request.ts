// One call of the API: headers, time limit, and retries that repeat the same Idempotency-Key.
import type { Random } from '#contracts/deps.ts';
import { problems } from '#contracts/problems.ts';
import { ApiProblem, parseProblem, unreachable } from './api-problem.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** As much of `fetch` as is used here: the browser's and undici's both fit. */
export type Fetch = (
  url: string,
  init: {
    method: Method;
    headers: Record<string, string>;
    signal: AbortSignal;
    redirect: 'error';
    body?: string;
  },
) => Promise<FetchAnswer>;

export interface FetchAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}

export interface CallerOptions {
  /** Where the API is: `https://host:port`, or '' in a browser that got the page from there. */
  readonly baseUrl: string;
  readonly fetch: Fetch;
  /** Source of idempotency keys and jitter. */
  readonly random: Random;
  readonly token?: string | undefined;
  /** Needed with the cookie, on everything that changes something. */
  readonly csrfToken?: (() => string | undefined) | undefined;
  readonly project?: string | undefined;
  /** Limit of one attempt. */
  readonly timeoutMs?: number | undefined;
  /** How often a call is sent at most. */
  readonly attempts?: number | undefined;
  /** How long a call waits at most between its attempts, all waits together. */
  readonly waitBudgetMs?: number | undefined;
  readonly pause?: Pause | undefined;
}

/** Waits, or rejects with the signal's reason. */
export type Pause = (ms: number, signal: AbortSignal | undefined) => Promise<void>;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Given by a caller who may send the same wish again later; random otherwise. */
  readonly idempotencyKey?: string;
}

export interface Call extends Omit<CallOptions, 'idempotencyKey'> {
  /** `null` for a POST that has its own protection against repetition. */
  readonly idempotencyKey?: string | null;
  readonly method: Method;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  readonly body?: unknown;
  /** Instead of the client's own, for what is known to take longer. */
  readonly timeoutMs?: number;
  readonly attempts?: number;
  /** Statuses beyond 2xx whose body is the answer and no problem. */
  readonly answers?: readonly number[];
}

export type Caller = (call: Call) => Promise<unknown>;

const firstWaitMs = 250;
const proxyFailures = [502, 503, 504];

/**
 * Makes the function that all calls go through.
 *
 * @returns A function that resolves with the parsed body (`undefined` for an empty one) and rejects with an ApiProblem,
 *   or with the reason of the caller's signal.
 */
export function createCaller(options: CallerOptions): Caller {
  const { waitBudgetMs = 15_000, pause = wait, random } = options;

  return async function call(request) {
    // URL parsers resolve such segments even when encoded, so an id of '..' would reach another route.
    if (/\/\.{0,2}(\/|$)/.test(request.path)) {
      throw new ApiProblem({ code: 'request.invalid', status: 0, detail: 'The id is empty or a path.' });
    }
    const key = idempotencyKeyOf(request, random);
    const attempts = request.attempts ?? options.attempts ?? 3;
    let waitedMs = 0;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await send(options, request, key);
      } catch (error) {
        const waitMs = waitBefore(attempt, error, random);
        if (waitMs === null || attempt >= attempts || waitedMs + waitMs > waitBudgetMs) throw error;
        await pause(waitMs, request.signal);
        waitedMs += waitMs;
      }
    }
  };
}

function idempotencyKeyOf(request: Call, random: Random): string | null {
  // The others do the same however often they come.
  if (request.method !== 'POST' || request.idempotencyKey === null) return null;
  return request.idempotencyKey ?? random.uuid();
}

async function send(options: CallerOptions, request: Call, key: string | null): Promise<unknown> {
  const timeoutMs = request.timeoutMs ?? options.timeoutMs ?? 10_000;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout;
  try {
    const answer = await options.fetch(options.baseUrl.replace(/\/$/, '') + request.path + queryText(request.query), {
      method: request.method,
      headers: headersOf(options, request, key),
      signal,
      // A redirect would carry the token to another place.
      redirect: 'error',
      ...(hasBody(request) ? { body: JSON.stringify(request.body ?? {}) } : {}),
    });
    return read(answer, await answer.text(), request.answers ?? []);
  } catch (error) {
    if (error instanceof ApiProblem) throw error;
    request.signal?.throwIfAborted();
    if (timeout.aborted) throw unreachable(`No answer within ${timeoutMs / 1000} s.`, error);
    throw unreachable(`No connection: ${innermostMessage(error)}.`, error);
  }
}

const hasBody = ({ method }: Call): boolean => method === 'POST' || method === 'PUT';

function headersOf(options: CallerOptions, request: Call, key: string | null): Record<string, string> {
  const csrfToken = request.method === 'GET' ? undefined : options.csrfToken?.();
  return {
    accept: 'application/json',
    ...(hasBody(request) ? { 'content-type': 'application/json' } : {}),
    ...(key === null ? {} : { 'idempotency-key': key }),
    ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    ...(csrfToken === undefined ? {} : { 'x-csrf-token': csrfToken }),
    ...(options.project === undefined ? {} : { 'x-sentinel-project': options.project }),
  };
}

function read(answer: FetchAnswer, text: string, answers: readonly number[]): unknown {
  const { status } = answer;
  // A proxy's page or a problem may come with the same status.
  const isAnswer = answers.includes(status) && /^application\/json\b/.test(answer.headers.get('content-type') ?? '');
  if ((status < 200 || status > 299) && !isAnswer) {
    throw parseProblem(status, text, retryAfterSeconds(answer));
  }
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ApiProblem({
      code: 'internal.error',
      status,
      detail: 'The answer is not JSON.',
      advice: 'Check that the address is that of Sentinel.',
      cause: error,
    });
  }
}

/** How long to wait before the next attempt; `null` when another attempt is no use. */
function waitBefore(attempt: number, error: unknown, random: Random): number | null {
  if (!(error instanceof ApiProblem)) return null;
  const noAnswer = error.status === 0 || (error.code === 'internal.error' && proxyFailures.includes(error.status));
  const toldToRetry = problems[error.code].retryable && (error.status === 503 || error.retryAfterSeconds !== null);
  if (!noAnswer && !toldToRetry) return null;
  const jitter = 1 + (random.bytes(1)[0] ?? 0) / 256;
  return Math.round(Math.max(firstWaitMs * 2 ** (attempt - 1), (error.retryAfterSeconds ?? 0) * 1000) * jitter);
}

function retryAfterSeconds(answer: FetchAnswer): number | null {
  const text = answer.headers.get('retry-after') ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

function queryText(query: Call['query']): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

/** fetch says only "fetch failed"; what happened is in the causes. */
function innermostMessage(error: unknown): string {
  let inner = error;
  for (let depth = 0; depth < 5 && inner instanceof Error && inner.cause instanceof Error; depth += 1)
    inner = inner.cause;
  return inner instanceof Error && inner.message !== '' ? inner.message : String(inner);
}

const wait: Pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const done = () => {
      signal?.removeEventListener('abort', stop);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', stop, { once: true });
  });

// What a call throws when the API refused it or did not answer, in the words of contracts/problems.ts.
import type { ProblemBody } from '#contracts/http/common.ts';
import { isProblemCode, problems, type ProblemCode, type ProblemFacts } from '#contracts/problems.ts';

export interface FieldError {
  readonly field: string;
  readonly message: string;
}

interface ApiProblemParts {
  readonly code: ProblemCode;
  readonly status: number;
  readonly title?: string;
  readonly detail?: string;
  readonly advice?: string;
  readonly requestId?: string | null;
  readonly errors?: readonly FieldError[];
  readonly facts?: ProblemFacts;
  readonly retryAfterSeconds?: number | null;
  readonly attestationChallenge?: unknown;
  readonly cause?: unknown;
}

/** A refusal by the API, or the failure to get an answer from it (`status` 0). Told apart by `code`. */
export class ApiProblem extends Error {
  readonly code: ProblemCode;
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly advice: string;
  readonly requestId: string | null;
  readonly errors: readonly FieldError[];
  readonly facts: ProblemFacts;
  readonly retryAfterSeconds: number | null;
  /** What a refusal of evidence asks for next, as it came; `null` when it asks for nothing. */
  readonly attestationChallenge: unknown;

  constructor(parts: ApiProblemParts) {
    const title = parts.title ?? problems[parts.code].title;
    super(parts.detail ?? title, { cause: parts.cause });
    this.name = 'ApiProblem';
    this.code = parts.code;
    this.status = parts.status;
    this.title = title;
    this.detail = this.message;
    this.advice = parts.advice ?? problems[parts.code].advice;
    this.requestId = parts.requestId ?? null;
    this.errors = parts.errors ?? [];
    this.facts = parts.facts ?? {};
    this.retryAfterSeconds = parts.retryAfterSeconds ?? null;
    this.attestationChallenge = parts.attestationChallenge ?? null;
  }
}

/** No answer within the time limit, or no connection: the request may or may not have had an effect. */
export function unreachable(detail: string, cause: unknown): ApiProblem {
  return new ApiProblem({
    code: 'service.unavailable',
    status: 0,
    title: 'The API cannot be reached',
    detail,
    advice: 'Check that Sentinel is running and that the address is right.',
    cause,
  });
}

/**
 * Reads a problem body (RFC 9457).
 *
 * @param text Body of an answer that is no success. Whatever is not one of our problem bodies has the code
 *   `internal.error`: it came from a proxy, or from something that is not Sentinel.
 */
export function parseProblem(status: number, text: string, retryAfterSeconds: number | null): ApiProblem {
  const body = parseObject(text) as Partial<ProblemBody & { attestation_challenge: unknown }> | undefined;
  if (!body || !isProblemCode(body.code)) {
    return new ApiProblem({
      code: 'internal.error',
      status,
      detail: textOf(body?.detail) ?? textOf(body?.title) ?? `The server answered ${status} without a known problem.`,
      requestId: textOf(body?.request_id) ?? null,
      retryAfterSeconds,
    });
  }
  const title = textOf(body.title);
  const detail = textOf(body.detail);
  return new ApiProblem({
    code: body.code,
    status,
    ...(title === undefined ? {} : { title }),
    ...(detail === undefined ? {} : { detail }),
    requestId: textOf(body.request_id) ?? null,
    errors: Array.isArray(body.errors) ? body.errors : [],
    facts: body.facts ?? {},
    retryAfterSeconds,
    attestationChallenge: body.attestation_challenge,
  });
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

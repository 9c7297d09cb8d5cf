// Turns whatever went wrong into application/problem+json (RFC 9457), the one form in which a refusal leaves the API.
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { JsonObject, Log } from '#contracts/deps.ts';
import type { ProblemBody } from '#contracts/http/common.ts';
import { isProblemCode, problems, type ProblemCode, type ProblemFacts } from '#contracts/problems.ts';

export const problemMediaType = 'application/problem+json; charset=utf-8';

export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** A refusal as the caller hears it: nothing in here came from the inside of the server. */
export interface Refusal {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly errors: readonly FieldError[];
  readonly facts: ProblemFacts;
  readonly retryAfterSeconds: number | null;
  /** Extension members (RFC 9457 §3.2) that the contract has for this code. */
  readonly members: JsonObject;
}

/** What Fastify and its plugins refuse by themselves, in our words. */
const frameworkCodes: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_VALIDATION: 'request.invalid',
  FST_ERR_BAD_URL: 'request.invalid',
  FST_ERR_MAX_PARAM_LENGTH: 'resource.not_found',
  FST_ERR_NOT_FOUND: 'resource.not_found',
  FST_ERR_CTP_BODY_TOO_LARGE: 'request.too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'request.unsupported_media_type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'request.malformed',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'request.malformed',
  FST_ERR_CTP_INVALID_JSON_BODY: 'request.malformed',
  FST_ERR_HANDLER_TIMEOUT: 'service.unavailable',
  FST_UNDER_PRESSURE: 'service.overloaded',
};

/** Answers that ask to be repeated say when, also where nobody gave a better time. */
const defaultRetryAfterSeconds = 2;
/** One request cannot make the answer grow without end. */
const maximumFieldErrors = 8;
const maximumNameLength = 128;

/** Tells what the caller may know of an error. Anything that is not a known refusal is `internal.error`, without a word more. */
export function refusalOf(error: unknown): Refusal {
  const { code, message, facts, errors, members, validation, validationContext } = fieldsOf(error);
  // By code and not by class: errors come from other realms too (Temporal, worker threads).
  if (!isProblemCode(code)) {
    const known = typeof code === 'string' ? frameworkCodes[code] : undefined;
    return refusal(known ?? 'internal.error', { errors: fieldErrors(validation ?? [], validationContext ?? 'body') });
  }
  const said = typeof message === 'string' && message !== problems[code].title ? message : undefined;
  return refusal(code, {
    detail: code === 'internal.error' ? undefined : said,
    facts: facts ?? {},
    errors: errors ?? [],
    members: members ?? {},
  });
}

function fieldsOf(error: unknown): {
  code?: unknown;
  message?: unknown;
  facts?: ProblemFacts;
  errors?: readonly FieldError[];
  members?: JsonObject;
  validation?: readonly SchemaError[];
  validationContext?: string;
} {
  return typeof error === 'object' && error !== null ? error : {};
}

function refusal(
  code: ProblemCode,
  {
    detail,
    errors = [],
    facts = {},
    members = {},
  }: {
    detail?: string | undefined;
    errors?: readonly FieldError[];
    facts?: ProblemFacts;
    members?: JsonObject;
  },
): Refusal {
  const { retry_after_seconds: said, ...others } = facts;
  const retryAfter = problems[code].status === 429 || problems[code].status === 503 || code === 'request.in_progress';
  return {
    code,
    detail: detail ?? problems[code].advice,
    errors,
    facts: others,
    members,
    retryAfterSeconds: retryAfter ? Math.max(1, Math.ceil(Number(said ?? defaultRetryAfterSeconds))) : null,
  };
}

export function presentProblem({ code, detail, errors, facts, members }: Refusal, requestId: string): ProblemBody {
  return {
    type: `urn:sentinel:problem:${code}`,
    title: problems[code].title,
    status: problems[code].status,
    detail,
    code,
    request_id: requestId,
    ...(errors.length === 0 ? {} : { errors: [...errors] }),
    ...(Object.keys(facts).length === 0 ? {} : { facts: { ...facts } }),
    ...members,
  };
}

/** Sends a problem. The body goes out as text, so that no response schema is applied to it. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, refused: Refusal): FastifyReply {
  const { status } = problems[refused.code];
  if (refused.retryAfterSeconds !== null) void reply.header('retry-after', String(refused.retryAfterSeconds));
  // RFC 9110 §11.6.1; the other 401s are about client certificates, which no challenge can ask for.
  if (refused.code.startsWith('auth.') && status === 401)
    void reply.header('www-authenticate', 'Bearer realm="sentinel"');
  return (
    reply
      .code(status)
      .header('cache-control', 'no-store')
      // RFC 8288: where a person reads what this code means.
      .header('link', `</docs/problems/#${refused.code}>; rel="help"`)
      .type(problemMediaType)
      .send(JSON.stringify(presentProblem(refused, request.id)))
  );
}

/** Makes problems the only answer of this app to anything that fails. */
export function registerProblems(app: FastifyInstance, { log }: { log: Log }): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const refused = refusalOf(error);
    const fields = { request_id: request.id, route: request.routeOptions.url ?? null, code: refused.code };
    if (refused.code === 'internal.error') log.error({ ...fields, err: error }, 'a request failed');
    else if (problems[refused.code].status === 503)
      log.warn({ ...fields, err: error }, 'a request could not be served');
    else log.debug(fields, 'a request was refused');
    return sendProblem(request, reply, refused);
  });
  app.setNotFoundHandler((request, reply) => sendProblem(request, reply, refusal('resource.not_found', {})));
}

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: unknown;
  readonly message?: string;
}

/** One error for each field, by the name that the caller used. */
function fieldErrors(validation: readonly SchemaError[], whole: string): FieldError[] {
  const byField = new Map<string, Set<string>>();
  const add = (field: string, message: string) => {
    const name = field.slice(0, maximumNameLength);
    if (byField.size < maximumFieldErrors || byField.has(name))
      byField.set(name, (byField.get(name) ?? new Set()).add(message));
  };
  for (const { keyword, instancePath, params, message } of validation) {
    const at = fieldName(instancePath);
    if (keyword === 'additionalProperties') {
      const { additionalProperties: names } = params as { additionalProperties: readonly string[] };
      for (const name of names) add(at === '' ? name : `${at}.${name}`, 'is not known');
    } else if (keyword === 'required') {
      const { requiredProperties: names } = params as { requiredProperties: readonly string[] };
      for (const name of names) add(at === '' ? name : `${at}.${name}`, 'is missing');
    } else if (keyword !== 'boolean' && keyword !== 'anyOf') {
      add(at === '' ? whole : at, message ?? 'does not fit');
    }
  }
  return [...byField].map(([field, messages]) => ({ field, message: [...messages].join(', or ') }));
}

/** `/tags/1` as `tags[1]`. */
function fieldName(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((name, part) => (/^\d+$/.test(part) ? `${name}[${part}]` : `${name}${name === '' ? '' : '.'}${part}`), '');
}

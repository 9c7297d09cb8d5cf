// Idempotency-Key on every POST: the first answer is kept for a day and given again, and nothing is done twice.
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import type { IdempotencyScope, IdempotencyStart } from '#store/idempotency.ts';
import { problemMediaType } from './problems.ts';
import { projectOf } from './projects.ts';

export interface IdempotencyStore {
  /** Takes the key, or tells how it is used. A request that never answered gives its key up after a minute. */
  start(scope: IdempotencyScope, requestHash: string): Promise<IdempotencyStart>;
  answer(scope: IdempotencyScope, claim: string, answer: { status: number; body: string }): Promise<void>;
  /** Gives the key up, so that the request may be repeated. */
  abandon(scope: IdempotencyScope, claim: string): Promise<void>;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** For POST routes without an effect that could happen twice, or whose answer must not be kept. */
    idempotency?: 'none';
  }
  interface FastifyRequest {
    idempotency: (IdempotencyScope & { readonly claim: string }) | null;
  }
}

const keyForm = /^[\x21-\x7e]{1,255}$/;
const retryAfterSeconds = 1;

export function registerIdempotency(app: FastifyInstance, { store, log }: { store: IdempotencyStore; log: Log }): void {
  app.decorateRequest('idempotency', null);

  app.addHook('preHandler', (request, reply, done) => {
    const scope = scopeOf(request);
    if (scope === null) return done();
    return begin(request, reply, scope);
  });

  async function begin(request: FastifyRequest, reply: FastifyReply, scope: IdempotencyScope): Promise<void> {
    const started = await store.start(scope, hashOf(request));
    switch (started.kind) {
      case 'started':
        request.idempotency = { ...scope, claim: started.claim };
        return;
      case 'mismatch':
        throw new TrustError('request.idempotency_mismatch');
      case 'running':
        throw new TrustError('request.in_progress', { facts: { retry_after_seconds: retryAfterSeconds } });
      case 'answered':
        await sendAgain(reply, started);
        return;
      default:
        throw new TypeError('the store does not say how the key is used');
    }
  }

  app.addHook<string | Buffer | null>('onSend', (request, reply, payload, done) => {
    if (request.idempotency === null) return done(null, payload);
    return keep(request, reply, payload, request.idempotency);
  });

  async function keep(
    request: FastifyRequest,
    reply: FastifyReply,
    payload: string | Buffer | null,
    scope: NonNullable<FastifyRequest['idempotency']>,
  ): Promise<void> {
    request.idempotency = null;
    try {
      const answer = { status: reply.statusCode, body: String(payload ?? '') };
      if (isFinal(reply.statusCode)) await store.answer(scope, scope.claim, answer);
      else await store.abandon(scope, scope.claim);
    } catch (error) {
      // What was asked for is done. A repetition finds the key taken for a minute and then reaches an actor that knows the request.
      log.warn({ err: error, request_id: request.id }, 'the answer to a request with Idempotency-Key was not kept');
    }
  }
}

/** Id under which an actor remembers the request: the caller's key if there is one, so that a repetition is recognised. */
export function actionId(request: FastifyRequest): string {
  const scope = request.idempotency;
  if (scope === null) return request.id;
  const { principal, route, key } = scope;
  return createHash('sha256')
    .update(JSON.stringify([principal, route, request.params, key]))
    .digest('base64url');
}

function scopeOf(request: FastifyRequest): IdempotencyScope | null {
  const key = request.headers['idempotency-key'];
  const { url: route, config } = request.routeOptions;
  if (key === undefined || request.method !== 'POST' || request.signedIn === null || config.idempotency === 'none')
    return null;
  if (typeof key !== 'string' || !keyForm.test(key)) {
    throw new TrustError('request.invalid', { detail: 'Idempotency-Key: 1 to 255 printable ASCII characters' });
  }
  return { project: projectOf(request), principal: request.signedIn.username, route: route ?? '', key };
}

/** One key is for one request: the same route with another object in its address is another request too. */
function hashOf({ params, query, body }: FastifyRequest): string {
  return createHash('sha256')
    .update(JSON.stringify([params, query, body ?? null]))
    .digest('hex');
}

/** A refusal that may pass by itself is not an answer for ever. */
function isFinal(status: number): boolean {
  return status < 500 && status !== 429;
}

function sendAgain(reply: FastifyReply, { status, body }: { status: number; body: string }): FastifyReply {
  void reply.code(status).header('idempotency-replayed', 'true');
  if (body === '') return reply.send();
  return reply.type(status < 400 ? 'application/json; charset=utf-8' : problemMediaType).send(body);
}

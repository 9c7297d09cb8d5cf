// /temporal/: Temporal's own UI, for people who are signed in and may look at workflows; it sees nothing of how they signed in.
import proxy from '@fastify/http-proxy';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { TrustError } from '#contracts/problems.ts';
import { authenticate, type AuthenticationDeps } from './authentication.ts';
import { requirePermission } from './authorization.ts';
import { refusalOf, sendProblem } from './problems.ts';
import { requireSameOrigin } from './same-origin.ts';
import { bodyLimitBytes } from './body.ts';
import { registerRenderer } from './temporal-render.ts';
import { bareHeaders, setPolicy, temporalUiPolicy } from './security-headers.ts';

export interface TemporalUiDeps {
  /** Loopback address of the UI, which is served under /temporal there too; null when there is none. */
  readonly upstream: string | null;
  readonly authentication: AuthenticationDeps;
}

const prefix = '/temporal';
/** What only this API and its browsers speak about; none of it goes to the UI. */
const withheldRequestHeaders = [
  'cookie',
  'authorization',
  'x-csrf-token',
  'x-sentinel-project',
  'x-sentinel-proxy-secret',
];
/** The UI has a session of its own that is of no use here, and its headers are weaker than ours. */
const withheldAnswerHeaders = [
  'set-cookie',
  'server',
  'content-security-policy',
  'strict-transport-security',
  ...Object.keys(bareHeaders),
];
const safeMethods = new Set(['GET', 'HEAD']);
/** A query only reads, and its page cannot do without: details and stack of a workflow are asked for by POST. */
const queryPath = /^\/temporal\/api\/v1\/namespaces\/[\w-]+\/workflows\/(?!\.|%2e)[^/?#]+\/query\/\w+(\?|$)/i;
/**
 * The UI compares a cookie of its own with a header, to know that a page of its own has asked. Neither gets through to
 * it, and the question has been settled here, so both are the same.
 */
const answeredCheck = { cookie: '_csrf=settled-by-sentinel', 'x-csrf-token': 'settled-by-sentinel' };

export const temporalUiRoutes: FastifyPluginAsync<TemporalUiDeps> = async (app, { upstream, authentication }) => {
  app.addHook('onRequest', async (request, reply) => {
    setPolicy(reply, temporalUiPolicy);
    void reply.header('x-frame-options', 'DENY').header('cache-control', 'no-store');
    try {
      const person = await authenticate(request, authentication);
      requirePermission(person, 'workflow.read');
      if (!safeMethods.has(request.method)) {
        // The UI cannot know our CSRF token, so the browser has to say where the request was made.
        await requireSameOrigin(request);
        if (person.via === 'cookie' && request.headers['sec-fetch-site'] === undefined)
          throw new TrustError('auth.csrf');
        const isQuery = request.method === 'POST' && queryPath.test(request.url);
        if (!isQuery) requirePermission(person, 'workflow.write');
        requireSmallBody(request);
      }
    } catch (error) {
      return answerRefusal(request, reply, error);
    }
  });

  registerRenderer(app);
  // Bodies go through as they come.
  app.removeAllContentTypeParsers();
  if (upstream === null) {
    app.all(`${prefix}/*`, { config: { access: 'public', idempotency: 'none' } }, async () => {
      throw new TrustError('service.unavailable', {
        detail: 'Temporal’s UI is not known here: set SENTINEL_TEMPORAL_UI_URL',
      });
    });
    return;
  }
  await app.register(proxy, {
    upstream,
    prefix,
    rewritePrefix: prefix,
    // The UI uses no others, and nothing here upgrades a connection.
    httpMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    config: { access: 'public', deadline: 'own', idempotency: 'none' },
    undici: { connections: 32, headersTimeout: 30_000, bodyTimeout: 60_000 },
    replyOptions: {
      rewriteRequestHeaders: ({ method }, headers) => ({
        ...without(headers, withheldRequestHeaders),
        ...(safeMethods.has(method) ? {} : answeredCheck),
      }),
      rewriteHeaders: (headers) => without(headers, withheldAnswerHeaders),
      onError: (reply, { error }) => {
        const cause = new TrustError('service.unavailable', {
          detail: 'Temporal’s UI cannot be reached',
          cause: error,
        });
        void sendProblem(reply.request as FastifyRequest, reply as FastifyReply, refusalOf(cause));
      },
    },
  });
};

/** Somebody who follows a link is led to the sign-in page; everything else is told. */
function answerRefusal(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
  const refused = refusalOf(error);
  const isPage = request.method === 'GET' && (request.headers.accept ?? '').includes('text/html');
  if (isPage && refused.code.startsWith('auth.') && refused.code !== 'auth.forbidden') {
    return reply.redirect(`/login?next=${encodeURIComponent(request.url)}`, 303);
  }
  return sendProblem(request, reply, refused);
}

/** Bodies go through unread, so their length is what they say; one that does not say it has no end that we know. */
function requireSmallBody({ headers }: FastifyRequest): void {
  const length = Number(headers['content-length'] ?? (headers['transfer-encoding'] === undefined ? 0 : Infinity));
  if (length > bodyLimitBytes) throw new TrustError('request.too_large');
}

function without<Headers extends object>(headers: Headers, names: readonly string[]): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name.toLowerCase()))) as Headers;
}

// The API described (OpenAPI 3.1), made from the routes themselves, and the page that people read it on.
import swagger from '@fastify/swagger';
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify';
import { ProblemBody } from '#contracts/http/common.ts';
import { permissionFor } from './authorization.ts';
import { newNonce, referencePolicy, setPolicy } from './security-headers.ts';

const tags = {
  devices: 'Devices: their heartbeats, their identity and what people ask of them',
  certificates: 'Certificates by the time at which they end',
  approvals: 'What waits for people, and their votes',
  audit: 'The audit trail and its integrity',
  events: 'Live events',
  admin: 'Signing in and sessions',
  workflows: 'The durable workflows behind devices and approvals',
  health: 'Liveness, readiness and metrics',
} as const;

/** Watches the routes as they are registered; has to come before them. */
export async function registerOpenApi(app: FastifyInstance, { version }: { version: string }): Promise<void> {
  await app.register(swagger, {
    hideUntagged: true,
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sentinel',
        version,
        description:
          'Device trust and control plane. Refusals are problem details (RFC 9457); their codes never change. ' +
          'Every POST takes an Idempotency-Key. Requests act in the project that X-Sentinel-Project names, else in default.',
      },
      tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'The token of POST /api/admin/login' },
          cookie: {
            type: 'apiKey',
            in: 'cookie',
            name: '__Host-sentinel',
            description: 'Set by the same; changes also need X-CSRF-Token',
          },
          device: { type: 'mutualTLS', description: 'The certificate of a device' },
        } as never,
      },
    },
    transform: ({ schema, url, route }) => {
      const access = route.config?.access;
      const permission = permissionFor(access);
      const described: Record<string, unknown> = { ...schema };
      if (permission !== null) described['description'] = `Permission: \`${permission}\``;
      described['security'] = securityOf(access);
      described['response'] = {
        ...(schema?.response as object | undefined),
        default: {
          description: 'A problem (RFC 9457)',
          content: { 'application/problem+json': { schema: ProblemBody } },
        },
      };
      return { schema: described as never, url };
    },
  });
}

export const openApiRoutes: FastifyPluginAsync = async (app) => {
  const config = { access: 'public' } as const;
  let reference: Promise<Reference> | null = null;

  app.get('/api/openapi.json', { config }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(JSON.stringify(app.swagger())),
  );

  app.get('/api/docs', { config }, async (_request, reply) => {
    const { page } = await (reference ??= renderReference());
    const nonce = newNonce();
    setPolicy(reply, referencePolicy(nonce));
    return reply.type('text/html; charset=utf-8').send(page.replaceAll(noncePlaceholder, nonce));
  });

  app.get('/api/docs/reference.js', { config }, async (_request, reply) => {
    const { script } = await (reference ??= renderReference());
    return reply.type('text/javascript; charset=utf-8').send(script);
  });
};

const publicAccess = ['public', 'monitoring'] as const;

function securityOf(access: string | undefined): object[] {
  if ((publicAccess as readonly (string | undefined)[]).includes(access)) return [];
  return access === 'device' ? [{ device: [] }] : [{ bearer: [] }, { cookie: [] }];
}

interface Reference {
  readonly page: string;
  readonly script: string;
}

const noncePlaceholder = '__CSP_NONCE__';

/**
 * Takes page and script from the plugin, which would set one nonce for good and routes past our own rules. It is loaded
 * when somebody looks, since it is large; nothing in it may call another host.
 */
async function renderReference(): Promise<Reference> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const rendered = Fastify({ logger: false });
  await rendered.register(scalar, {
    routePrefix: '/api/docs',
    configuration: {
      url: '/api/openapi.json',
      cdn: '/api/docs/reference.js',
      nonce: noncePlaceholder,
      pageTitle: 'Sentinel API',
      withDefaultFonts: false,
      telemetry: false,
      hideClientButton: true,
      showDeveloperTools: 'never',
      agent: { disabled: true },
      mcp: { disabled: true },
    },
  });
  try {
    const page = await rendered.inject('/api/docs/');
    const script = await rendered.inject('/api/docs/js/scalar.js');
    return { page: page.body, script: script.body };
  } finally {
    await rendered.close();
  }
}

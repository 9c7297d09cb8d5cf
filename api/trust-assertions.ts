// Statements of how far a device is trusted now, signed for another system; and the public keys to verify them with.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import type { AuditEntry } from '#contracts/audit.ts';
import type { Clock, JsonObject, Random } from '#contracts/deps.ts';
import { DeviceParams } from '#contracts/http/devices.ts';
import { JwkSet, TrustAssertion, TrustAssertionQuery } from '#contracts/http/trust-assertions.ts';
import { TrustError } from '#contracts/problems.ts';
import { expiryOf, presentJwk, signTrustAssertion } from '#protocols/trust-assertion.ts';
import type { DeviceRow } from '#store/device.ts';
import type { AssertionKeys } from './assertion-keys.ts';
import { signedIn } from './authorization.ts';
import type { TrustedProxy } from './client-address.ts';
import { presentDevice, type DevicePolicy } from './present-device.ts';
import { projectOf } from './projects.ts';
import type { WorkflowLinks } from './workflow-links.ts';

export interface TrustAssertionsDeps {
  readonly findDevice: (project: string, id: string) => Promise<DeviceRow | null>;
  readonly keys: Pick<AssertionKeys, 'signing' | 'published'>;
  readonly issuer: string | undefined;
  readonly lifetimeSeconds: number;
  /** Nobody else gets one. */
  readonly allowedAudiences: readonly string[];
  readonly audit: (project: string, entry: AuditEntry) => Promise<void>;
  readonly links: WorkflowLinks;
  readonly policy: DevicePolicy;
  readonly proxy: Pick<TrustedProxy, 'clientAddress'>;
  readonly clock: Clock;
  readonly random: Random;
}

/** For each person, within a minute; every one of them is an event on record. */
const mostPerMinute = 120;
/** Short, so that a key that is taken out is soon gone everywhere. */
const cachedSeconds = 60;

export const trustAssertionRoutes: FastifyPluginAsyncTypebox<TrustAssertionsDeps> = async (app, deps) => {
  const limiter = new RateLimiterMemory({ points: mostPerMinute, duration: 60 });

  app.get(
    '/api/devices/:device_id/trust-assertion',
    {
      config: { access: 'assertion.mint', sealing: 'needed' },
      exposeHeadRoute: false,
      schema: {
        operationId: 'mintTrustAssertion',
        tags: ['devices'],
        summary: 'A signed statement of how far a device is trusted at this moment, for one other system',
        params: DeviceParams,
        querystring: TrustAssertionQuery,
        response: { 200: TrustAssertion },
      },
    },
    async (request) => {
      const { device_id } = request.params;
      const { audience } = request.query;
      await count(signedIn(request).username);
      try {
        const minted = await mint(projectOf(request), device_id, audience);
        // Without a record there is no assertion.
        await write(request, 'success', {
          audience,
          assertion_id: minted.assertion_id,
          key_id: minted.key_id,
          trust_tier: minted.trust_tier,
          approval_state: minted.approval_state,
          expires_at: minted.expires_at,
        });
        return minted;
      } catch (error) {
        if (error instanceof TrustError && recorded.has(error.code)) {
          await write(request, 'refused', { audience, code: error.code });
        }
        throw error;
      }
    },
  );

  app.get(
    '/.well-known/jwks.json',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'getTrustAssertionKeys',
        tags: ['devices'],
        summary: 'Public keys that trust assertions are verified with (RFC 7517)',
        produces: ['application/jwk-set+json'],
        response: { 200: JwkSet },
      },
    },
    async (_request, reply) => {
      void reply.type('application/jwk-set+json').header('cache-control', `public, max-age=${cachedSeconds}`);
      return { keys: deps.keys.published().map(presentJwk) };
    },
  );

  async function mint(project: string, id: string, audience: string): Promise<TrustAssertion> {
    const { issuer, lifetimeSeconds, allowedAudiences } = deps;
    if (!allowedAudiences.includes(audience)) throw new TrustError('assertion.audience_refused');
    if (issuer === undefined) {
      throw new TrustError('assertion.unavailable', { detail: 'SENTINEL_TRUST_ASSERTION_ISSUER is not set' });
    }
    const key = deps.keys.signing();
    const row = await deps.findDevice(project, id);
    if (row === null) throw new TrustError('resource.not_found', { detail: 'There is no such device' });
    const issuedAt = deps.clock.now();
    // What everybody sees of the device, so that the two can never differ.
    const device = presentDevice(row, issuedAt, deps.policy, deps.links);
    const claims = {
      project: device.project,
      device_id: device.device_id,
      trust_tier: device.trust_tier,
      approval_state: device.approval_state,
      retired: device.retired,
      certificate_fingerprint_sha256: device.certificate?.fingerprint_sha256 ?? null,
    };
    const terms = { issuer, audience, id: deps.random.uuid(), issuedAt, lifetimeSeconds };
    return {
      ...claims,
      assertion: await signTrustAssertion(claims, terms, key),
      assertion_id: terms.id,
      key_id: key.keyId,
      issuer,
      audience,
      issued_at: issuedAt.toISOString(),
      expires_at: expiryOf(terms).toISOString(),
    };
  }

  async function count(username: string): Promise<void> {
    await limiter.consume(username).catch(({ msBeforeNext }: RateLimiterRes) => {
      throw new TrustError('rate.limited', { facts: { retry_after_seconds: Math.ceil(msBeforeNext / 1000) } });
    });
  }

  async function write(
    request: FastifyRequest<{ Params: { device_id: string } }>,
    outcome: 'success' | 'refused',
    details: JsonObject,
  ): Promise<void> {
    await deps.audit(projectOf(request), {
      occurred_at: deps.clock.now().toISOString(),
      category: 'identity',
      action: outcome === 'success' ? 'trust_assertion.minted' : 'trust_assertion.refused',
      actor: { kind: 'user', id: signedIn(request).username, ip: deps.proxy.clientAddress(request) },
      subject: { kind: 'device', id: request.params.device_id },
      outcome,
      details,
      request_id: request.id,
    });
  }
};

/** Refusals of what was asked for; a part that does not answer is none. */
const recorded: ReadonlySet<string> = new Set([
  'assertion.unavailable',
  'assertion.audience_refused',
  'resource.not_found',
]);

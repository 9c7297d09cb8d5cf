// Refuses changes while the audit trail cannot be sealed, or is not the one that was signed: what nobody could prove later is
// not done now. Reads go on.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Clock } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * For changes that only take trust away: these do not wait for the sealer. Or what changes nothing, whatever its method;
     * or what has to be on record though it only reads.
     */
    sealing?: 'not-needed' | 'changes-nothing' | 'needed';
  }
}

export interface SealGuardDeps {
  readonly sealLagSeconds: () => Promise<number>;
  readonly limitSeconds: number;
  /** Whether the database lacks what a checkpoint outside of it says, as after a restore. */
  readonly isRewritten: () => Promise<boolean>;
  /** Whether an audit event could be written now. */
  readonly isAuditWritable: () => Promise<boolean>;
  readonly clock: Clock;
}

const readingMs = 1000;

export function registerSealGuard(
  app: FastifyInstance,
  { sealLagSeconds, limitSeconds, isRewritten, isAuditWritable, clock }: SealGuardDeps,
): void {
  // A GET that is on record has an effect, and whoever asks for the head of its answer would have it as well, for nothing.
  app.addHook('onRoute', ({ url, method, config }) => {
    if (config?.sealing === 'needed' && [method].flat().includes('HEAD'))
      throw new TypeError(`route GET ${url} has an effect; it needs exposeHeadRoute: false`);
  });

  let reading: { readonly at: number; readonly found: Promise<readonly [boolean, number, boolean]> } | null = null;

  app.addHook('preHandler', (request, _reply, done) => {
    if (request.signedIn === null) return done();
    return guard(request);
  });

  async function guard(request: FastifyRequest): Promise<void> {
    const { sealing } = request.routeOptions.config;
    const reads = request.method === 'GET' || request.method === 'HEAD';
    if (reads && sealing !== 'needed') return;
    if (sealing === 'changes-nothing') return;
    const at = clock.now().getTime();
    if (reading === null || Math.abs(at - reading.at) >= readingMs)
      reading = { at, found: Promise.all([isAuditWritable(), sealLagSeconds(), isRewritten()]) };
    const [writable, seconds, rewritten] = await reading.found;
    // Before any actor is asked: it would take the request, and write it down whenever it can.
    if (writable !== true) {
      throw new TrustError('service.unavailable', {
        detail: 'The audit trail cannot be written; changes are refused until it can',
        facts: { retry_after_seconds: 10 },
      });
    }
    if (sealing === 'not-needed') return;
    if (rewritten !== false) {
      throw new TrustError('service.unavailable', {
        detail: 'The audit trail is not the one that was signed; changes are refused until somebody has looked into it',
        facts: { retry_after_seconds: 60 },
      });
    }
    // Not `>`: what is no number is no proof that sealing goes on.
    if (!(seconds <= limitSeconds)) {
      throw new TrustError('service.unavailable', {
        detail: 'The audit trail has not been sealed for too long; changes are refused until it is',
        facts: { retry_after_seconds: 30 },
      });
    }
  }
}

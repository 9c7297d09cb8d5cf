// /api/health: is this process alive, and can it serve?
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { TrustError } from '#contracts/problems.ts';
import { HealthReasons, Live, Ready } from '#contracts/http/health.ts';

export interface Check {
  readonly status: Ready['status'];
  readonly detail: string;
}

/** What readiness depends on; each must answer by itself within the limit. */
export type Checks = Readonly<Record<string, () => Promise<Check>>>;

export interface HealthDeps {
  readonly version: string;
  readonly checks: Checks;
  /** False from the moment that shutdown begins: load balancers look elsewhere before the listeners close. */
  readonly accepting: () => boolean;
  readonly checkTimeoutMs?: number;
  /** What the last round of the sealer failed of; null when it did not. */
  readonly sealerError: () => Promise<string | null>;
}

export const healthRoutes: FastifyPluginAsyncTypebox<HealthDeps> = async (app, deps) => {
  app.get(
    '/api/health/live',
    {
      config: { access: 'public' },
      schema: { operationId: 'getLive', tags: ['health'], summary: 'Liveness', response: { 200: Live } },
    },
    async () => ({ status: 'ok' as const, version: deps.version }),
  );

  app.get(
    '/api/health/ready',
    {
      config: { access: 'public' },
      schema: { operationId: 'getReady', tags: ['health'], summary: 'Readiness', response: { 200: Ready, 503: Ready } },
    },
    async (_request, reply) => {
      const ready = await judgeReadiness(deps);
      if (ready.status === 'failed') return reply.code(503).header('retry-after', '5').send(ready);
      return ready;
    },
  );

  app.get(
    '/api/health/reasons',
    {
      config: { access: 'health.read' },
      schema: {
        operationId: 'getHealthReasons',
        tags: ['health'],
        summary: 'Why parts are not well',
        response: { 200: HealthReasons },
      },
    },
    async () => reasonsOf(deps),
  );
};

/** For those who may know: what the sealer says of its last failure, and what each check failed of. */
async function reasonsOf({ checks, sealerError, checkTimeoutMs = 2000 }: HealthDeps): Promise<HealthReasons> {
  const asked = Object.entries({ ...checks, sealing: checks['sealing'] ?? (async () => null) });
  const found = await Promise.all(
    asked.map(async ([name, check]) => {
      try {
        const within = AbortSignal.timeout(checkTimeoutMs);
        const late = new Promise<never>((_, reject) =>
          within.addEventListener('abort', () => reject(new Error('late'))),
        );
        await Promise.race([check(), late]);
        const reason = name === 'sealing' ? await sealerError() : null;
        return reason === null ? [] : [[name, reason] as const];
      } catch (error) {
        return [[name, reasonOf(error)] as const];
      }
    }),
  );
  return { reasons: Object.fromEntries(found.flat()) };
}

/** The code and what it is about, without what was in a statement or a request. */
function reasonOf(error: unknown): string {
  const { code, message, cause } = error as NodeJS.ErrnoException;
  if (!(error instanceof TrustError)) return code ?? 'the reason is in the log of the API';
  const { code: inner } = Object(cause) as NodeJS.ErrnoException;
  return `${code}: ${message}${inner === undefined ? '' : ` (${inner})`}`;
}

/** Asks every check at once; one that throws or does not answer in time has failed. */
export async function judgeReadiness({ checks, accepting, checkTimeoutMs = 2000 }: HealthDeps): Promise<Ready> {
  const answers = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => [name, await answerOf(check, checkTimeoutMs)] as const),
  );
  if (!accepting()) answers.push(['shutdown', { status: 'failed', detail: 'the server is shutting down' }]);
  const statuses = answers.map(([, { status }]) => status);
  const worst = (['failed', 'degraded'] as const).find((status) => statuses.includes(status));
  return { status: worst ?? 'ok', checks: Object.fromEntries(answers) };
}

async function answerOf(check: () => Promise<Check>, timeoutMs: number): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Check>((resolve) => {
    timer = setTimeout(() => resolve({ status: 'failed', detail: `no answer within ${timeoutMs} ms` }), timeoutMs);
  });
  try {
    // What went wrong is in the log of the part; the route is open to anybody.
    return await Promise.race([check().catch((): Check => ({ status: 'failed', detail: 'the check failed' })), late]);
  } finally {
    clearTimeout(timer);
  }
}

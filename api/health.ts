// /api/health: is this process alive, and can it serve?
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Live, Ready } from '#contracts/http/health.ts';

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
};

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

// GET /api/events/stream: what happens in a project, as server-sent events by the sealer's numbers, so that nothing is lost between two connections.
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { eventTypes, type OutboxEntry } from '#contracts/audit.ts';
import { TrustError } from '#contracts/problems.ts';
import type { SignedIn } from './authentication.ts';
import { signedIn } from './authorization.ts';
import type { Metrics } from './metrics.ts';
import { projectOf } from './projects.ts';

/** An event with its place in the project’s chain. */
export interface SealedEvent extends OutboxEntry {
  readonly sequence: number;
}

export interface EventsDeps {
  /** Sealed events of the project after this number, oldest first. */
  readonly readEvents: (project: string, after: number, limit: number) => Promise<readonly SealedEvent[]>;
  /** Number of the last sealed event. */
  readonly lastSequence: (project: string) => Promise<number>;
  /** Calls back whenever something may have been sealed; returns how to stop that. */
  readonly onSealed: (wake: () => void) => () => void;
  /** The person of the session, as long as it lasts. */
  readonly findLive: (sessionId: string) => Promise<Omit<SignedIn, 'via'> | null>;
  readonly metrics: Pick<Metrics, 'eventStreams'>;
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal;
  readonly timing?: { readonly heartbeatMs: number; readonly checkMs: number };
}

const pageSize = 200;
const streamsOfSession = 4;
const streamsOfAll = 1000;
const defaultTiming = { heartbeatMs: 15_000, checkMs: 5000 };

export const eventRoutes: FastifyPluginAsyncTypebox<EventsDeps> = async (app, deps) => {
  const open = new Map<string, number>();
  let openOfAll = 0;

  app.get(
    '/api/events/stream',
    {
      config: { access: 'event.read', deadline: 'own' },
      schema: {
        operationId: 'streamEvents',
        tags: ['events'],
        summary: 'Events of the project as they happen (server-sent events); goes on after Last-Event-ID',
        produces: ['text/event-stream'],
        response: { 200: Type.Unsafe<Readable>({ type: 'string' }) },
      },
    },
    async (request, reply) => {
      const person = signedIn(request);
      const project = projectOf(request);
      const after = readLastEventId(request.headers['last-event-id']) ?? (await deps.lastSequence(project));
      enter(person.sessionId);
      const ended = new AbortController();
      const stream = Readable.from(follow(project, after, person, AbortSignal.any([ended.signal, deps.stopping])));
      // Also when the client goes away before the first byte.
      reply.raw.once('close', () => ended.abort());
      stream.once('close', () => leave(person.sessionId));
      return reply.header('x-accel-buffering', 'no').type('text/event-stream; charset=utf-8').send(stream);
    },
  );

  function enter(sessionId: string): void {
    const count = open.get(sessionId) ?? 0;
    if (count >= streamsOfSession || openOfAll >= streamsOfAll) {
      throw new TrustError('rate.limited', {
        detail: 'Too many event streams are open',
        facts: { retry_after_seconds: 10 },
      });
    }
    open.set(sessionId, count + 1);
    openOfAll += 1;
    deps.metrics.eventStreams.set(openOfAll);
  }

  function leave(sessionId: string): void {
    const count = (open.get(sessionId) ?? 1) - 1;
    if (count > 0) open.set(sessionId, count);
    else open.delete(sessionId);
    openOfAll -= 1;
    deps.metrics.eventStreams.set(openOfAll);
  }

  async function* follow(project: string, after: number, person: SignedIn, stop: AbortSignal): AsyncGenerator<string> {
    const { heartbeatMs, checkMs } = deps.timing ?? defaultTiming;
    const bell = createBell(deps.onSealed, stop);
    let position = after;
    let spokeAt = performance.now();
    // Sent at once, so that proxies and browsers know that the stream is open.
    yield 'retry: 2000\n\n';
    try {
      while (!stop.aborted) {
        const live = await deps.findLive(person.sessionId);
        if (live === null || !live.permissions.has('event.read')) return;
        for (let page = [...(await deps.readEvents(project, position, pageSize))]; page.length > 0;) {
          for (const event of page) yield frameOf(event);
          position = page.at(-1)?.sequence ?? position;
          spokeAt = performance.now();
          page =
            page.length < pageSize || stop.aborted ? [] : [...(await deps.readEvents(project, position, pageSize))];
        }
        if (performance.now() - spokeAt >= heartbeatMs) {
          spokeAt = performance.now();
          yield ': still here\n\n';
        }
        await bell.rungWithin(Math.min(checkMs, heartbeatMs));
      }
    } catch {
      // The browser comes back by itself, with Last-Event-ID, and meets whatever is wrong as a problem.
      return;
    } finally {
      bell.close();
    }
  }
};

interface Bell {
  /** Resolves when it rings, also if it did since the last time, or when the time has passed. */
  rungWithin(ms: number): Promise<void>;
  close(): void;
}

function createBell(onSealed: EventsDeps['onSealed'], stop: AbortSignal): Bell {
  let rung = false;
  let wake: (() => void) | null = null;
  const ring = () => {
    rung = true;
    wake?.();
  };
  const unsubscribe = onSealed(ring);
  stop.addEventListener('abort', ring, { once: true });
  return {
    async rungWithin(ms) {
      if (!rung) {
        let timer: NodeJS.Timeout | undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
          timer = setTimeout(resolve, ms);
        });
        clearTimeout(timer);
        wake = null;
      }
      rung = false;
    },
    close() {
      unsubscribe();
      stop.removeEventListener('abort', ring);
    },
  };
}

/** Events that have a name of their own go out under it; all others are plain messages, whose type is inside. */
function frameOf({ sequence, type, subject, occurred_at, data }: SealedEvent): string {
  const named = (eventTypes as readonly string[]).includes(type) ? `event: ${type}\n` : '';
  return `id: ${sequence}\n${named}data: ${JSON.stringify({ sequence, type, subject, occurred_at, data })}\n\n`;
}

function readLastEventId(header: string | string[] | undefined): number | null {
  if (header === undefined || header === '') return null;
  const value = Number(header);
  if (typeof header === 'string' && /^\d{1,16}$/.test(header) && Number.isSafeInteger(value)) return value;
  throw new TrustError('request.invalid', { detail: 'Last-Event-ID is not one that this stream gave out' });
}

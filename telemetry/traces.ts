// OpenTelemetry traces of one process, sent as OTLP over HTTP. Loaded only where SENTINEL_TRACES_ENDPOINT is set.
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Span,
  type SpanOptions,
} from '@opentelemetry/api';
import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  RandomIdGenerator,
  SamplingDecision,
  TracerProvider,
  TraceIdRatioBasedSampler,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace';
import type { Log, SpanAttributes, Tracer } from '#contracts/deps.ts';
import { isUuid } from '#contracts/ids.ts';
import type { MetricProcess } from '#contracts/metrics.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Settings } from '#contracts/settings.ts';
import { createOutboundAddresses, type OutboundAddresses } from '#protocols/outbound-address.ts';
import type { Meters } from './metrics.ts';

/** The span that something is asked for in. */
export type Origin = ReturnType<Span['spanContext']>;

export interface RequestSpan {
  /** What the work does, and whatever it starts, is below this span. */
  run(work: () => void): void;
  end(name: string, failed: boolean, attributes: SpanAttributes): void;
}

export interface Traces extends Tracer {
  /** The span of a request, in the trace that is named by its id. What is not kept for sure is kept by the sampling. */
  begin(requestId: string, keep: boolean): RequestSpan;
  /**
   * Hands work over to another process, which knows no more of it than this id. An action keeps its id when it is asked for
   * again, so it has a trace of its own, which begins here and is linked with the span that this is called in.
   */
  handOver<T>(actionId: string, name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T>;
  /** The span that the action with this id was handed over in. */
  of(actionId: string): Origin;
  /** The span that this is called in, when it is recorded. */
  here(): Origin | null;
  /** Runs work for some spans: below the first of them, linked to the others; in a trace of its own when there is none. */
  joined<T>(origins: readonly Origin[], name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T>;
  /** Runs work that is not of the span that it is called in. */
  outside<T>(work: () => T): T;
  /** Sends what is left, for a second at most. */
  close(): Promise<void>;
}

type Post = (
  url: string,
  call: {
    readonly method: 'POST';
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Uint8Array;
    readonly timeoutMs: number;
    readonly maximumBytes: number;
  },
) => Promise<{ readonly status: number }>;

export interface TracesOptions {
  readonly settings: Pick<
    Settings,
    'SENTINEL_TRACES_ENDPOINT' | 'SENTINEL_TRACES_SAMPLE_PERCENT' | 'SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES'
  >;
  readonly process: MetricProcess;
  /** Of this release. */
  readonly version: string;
  readonly createOutbound: (deps: { readonly addresses: OutboundAddresses }) => Post;
  readonly meters: Pick<Meters, 'droppedSpans'>;
  readonly log: Log;
}

/** Spans that are not sent yet, those on their way among them; more are dropped. */
export const maximumWaiting = 2048;
const maximumBatch = 512;
const batchEveryMs = 1_000;
const sendWithinMs = 5_000;
const closeWithinMs = 1_000;
const maximumLinks = 32;
const maximumAnswerBytes = 64 * 1024;

/** @throws TrustError `request.invalid` for an endpoint that traces may not be sent to */
export function openTraces({ settings, process, version, createOutbound, meters, log }: TracesOptions): Traces {
  const listed = settings.SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES;
  const endpoint = readEndpoint(settings.SENTINEL_TRACES_ENDPOINT ?? '', listed);
  const addresses = createOutboundAddresses([...listed, ...loopback]);
  const bound = createBound((reason, spans) => meters.droppedSpans.inc({ reason }, spans));
  const batches = new BatchSpanProcessor({
    exporter: createExporter(endpoint, { post: createOutbound({ addresses }), ended: bound.ended, log }),
    // The bound is ours, which counts what it turns away.
    maxQueueSize: maximumWaiting,
    maxExportBatchSize: maximumBatch,
    scheduledDelayMillis: batchEveryMs,
    exportTimeoutMillis: sendWithinMs,
  });
  /** For the one span that is being started. */
  let given: { readonly traceId: string; readonly spanId: string; readonly keep: boolean } | null = null;
  const sampling = new TraceIdRatioBasedSampler(settings.SENTINEL_TRACES_SAMPLE_PERCENT / 100);
  const ids = new RandomIdGenerator();
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': `sentinel-${process}`, 'service.version': version }),
    sampler: new ParentBasedSampler({
      root: {
        shouldSample: (context, traceId) =>
          given?.keep === true
            ? { decision: SamplingDecision.RECORD_AND_SAMPLED }
            : sampling.shouldSample(context, traceId),
      },
    }),
    idGenerator: {
      generateTraceId: () => given?.traceId ?? ids.generateTraceId(),
      generateSpanId: () => given?.spanId ?? ids.generateSpanId(),
    },
    spanLimits: { attributeValueLengthLimit: 256, linkCountLimit: maximumLinks },
    spanProcessors: [bound.before(batches)],
  });
  const tracer = provider.getTracer('sentinel', version);
  const current = new AsyncLocalStorage<Span | null>();
  const below = (origin: Origin) => trace.setSpanContext(ROOT_CONTEXT, origin);

  function startRoot(id: string, keep: boolean, name: string, options: SpanOptions): Span {
    given = { ...idsOf(id), keep };
    try {
      return tracer.startSpan(name, options, ROOT_CONTEXT);
    } finally {
      given = null;
    }
  }

  async function within<T>(span: Span, work: () => Promise<T>): Promise<T> {
    try {
      return await current.run(span, work);
    } catch (error) {
      // The message may say what nobody else may read.
      span.setStatus({ code: SpanStatusCode.ERROR });
      span.setAttribute('error.type', error instanceof TrustError ? error.code : ((error as Error | null)?.name ?? ''));
      throw error;
    } finally {
      span.end();
    }
  }

  return {
    async span(name, attributes, work) {
      const parent = current.getStore() ?? null;
      if (parent === null) return work();
      const context = below(parent.spanContext());
      return within(tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, context), work);
    },
    begin(requestId, keep) {
      const span = startRoot(requestId, keep, 'request', { kind: SpanKind.SERVER });
      return {
        run: (work) => current.run(span, work),
        end(name, failed, attributes) {
          span.updateName(name);
          span.setAttributes(attributes);
          if (failed) span.setStatus({ code: SpanStatusCode.ERROR });
          span.end();
        },
      };
    },
    async handOver(actionId, name, attributes, work) {
      const parent = current.getStore() ?? null;
      if (parent === null || !parent.isRecording()) return work();
      const links = [{ context: parent.spanContext() }];
      const span = startRoot(actionId, true, name, { kind: SpanKind.PRODUCER, attributes, links });
      parent.addLink({ context: span.spanContext() });
      return within(span, work);
    },
    of: (actionId) => ({ ...idsOf(actionId), traceFlags: TraceFlags.SAMPLED, isRemote: true }),
    here() {
      const span = current.getStore() ?? null;
      return span?.isRecording() === true ? span.spanContext() : null;
    },
    joined(origins, name, attributes, work) {
      const [first, ...others] = origins;
      const links = others.slice(0, maximumLinks).map((context) => ({ context }));
      const context = first === undefined ? ROOT_CONTEXT : below(first);
      return within(tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes, links }, context), work);
    },
    outside: (work) => current.run(null, work),
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, closeWithinMs);
      await Promise.race([provider.shutdown().catch(() => {}), promise]);
      clearTimeout(timer);
    },
  };
}

/** A request's id is a UUID: sixteen bytes, as a trace's is, and the last eight are random. Other ids are hashed. */
function idsOf(id: string): { readonly traceId: string; readonly spanId: string } {
  const hex = isUuid(id) ? id.replaceAll('-', '') : createHash('sha256').update(id).digest('hex');
  return { traceId: hex.slice(0, 32), spanId: hex.slice(16, 32) };
}

/** Lets no more spans wait than may, those on their way among them, and tells of each that is dropped. */
function createBound(dropped: (reason: 'queue_full' | 'not_sent', spans: number) => void) {
  let waiting = 0;
  return {
    before: (next: SpanProcessor): SpanProcessor => ({
      onStart: (span, context) => next.onStart(span, context),
      onEnd(span) {
        if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
        if (waiting >= maximumWaiting) return dropped('queue_full', 1);
        waiting += 1;
        next.onEnd(span);
      },
      forceFlush: () => next.forceFlush(),
      shutdown: () => next.shutdown(),
    }),
    ended(spans: number, wereSent: boolean): void {
      waiting -= spans;
      if (!wereSent) dropped('not_sent', spans);
    },
  };
}

interface ExporterDeps {
  readonly post: Post;
  /** Told of each batch once, when it is over. */
  readonly ended: (spans: number, wereSent: boolean) => void;
  readonly log: Log;
}

/** Sends each batch once: what cannot be sent is given up, and the log says so once. */
function createExporter(endpoint: string, { post, ended, log }: ExporterDeps): SpanExporter {
  let failing = false;
  async function send(body: Uint8Array, over: (wereSent: boolean) => void): Promise<void> {
    let wereSent = false;
    try {
      const headers = { 'content-type': 'application/json' };
      const call = {
        method: 'POST',
        headers,
        body,
        timeoutMs: sendWithinMs,
        maximumBytes: maximumAnswerBytes,
      } as const;
      const { status } = await post(endpoint, call);
      if (status < 200 || status > 299)
        throw new TrustError('outbound.failed', { detail: `SENTINEL_TRACES_ENDPOINT answers ${status}` });
      if (failing) log.info({}, 'traces are sent again');
      failing = false;
      wereSent = true;
    } catch (error) {
      if (!failing) log.warn({ err: error }, 'traces cannot be sent, and are dropped until they can');
      failing = true;
    }
    over(wereSent);
  }
  return {
    export(spans, done) {
      const body = JsonTraceSerializer.serializeRequest(spans) ?? new Uint8Array();
      // It never rejects.
      void send(body, (wereSent) => {
        ended(spans.length, wereSent);
        done({ code: 0 });
      });
    },
    async shutdown() {},
  };
}

const loopback = ['127.0.0.0/8', '::1'];

/** What traces say is nobody else's: in clear only within this machine, or to an address that a setting names. */
function readEndpoint(text: string, listed: readonly string[]): string {
  const url = URL.parse(text);
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const isNamed =
    host === 'localhost' ||
    (isIP(host) !== 0 &&
      createOutboundAddresses([...listed, ...loopback]).isAllowed(host) &&
      !createOutboundAddresses([]).isAllowed(host));
  if (url !== null && (url.protocol === 'https:' || (url.protocol === 'http:' && isNamed))) return url.href;
  throw new TrustError('request.invalid', {
    detail:
      'SENTINEL_TRACES_ENDPOINT: must be an https address, or http on loopback or at an address of SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES',
  });
}

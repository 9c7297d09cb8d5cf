// What OpenTelemetry calls a collector, as far as a test needs one: it takes OTLP over HTTP on loopback, and keeps it.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Cleanup } from './cleanup.ts';

export interface CollectedSpan {
  /** The process that sent it. */
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly failed: boolean;
}

export interface TraceCollector {
  readonly url: string;
  readonly spans: CollectedSpan[];
  /** Everything that was sent, as it came. */
  text(): string;
  /** How it answers from now on; null does not answer at all. */
  answer: number | null;
}

interface Sent {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly SentSpan[] }[];
  }[];
}
interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}
type SentSpan = Omit<CollectedSpan, 'service' | 'attributes' | 'links' | 'failed'> & {
  readonly attributes: readonly Attribute[];
  readonly links?: CollectedSpan['links'];
  readonly status?: { readonly code: number };
};

export async function traceCollector(t: Cleanup): Promise<TraceCollector> {
  let sent = '';
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      if (collector.answer === null) return;
      response.writeHead(collector.answer, { 'content-type': 'application/json' }).end('{}');
      if (collector.answer !== 200) return;
      sent += body;
      collector.spans.push(...spansOf(JSON.parse(body) as Sent));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const collector: TraceCollector = {
    url: `http://127.0.0.1:${port}/v1/traces`,
    spans: [],
    text: () => sent,
    answer: 200,
  };
  return collector;
}

function spansOf({ resourceSpans }: Sent): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(({ attributes, links = [], status, traceId, spanId, parentSpanId, name }) => ({
        service: String(valuesOf(resource.attributes)['service.name']),
        traceId,
        spanId,
        parentSpanId,
        name,
        attributes: valuesOf(attributes),
        links,
        failed: status?.code === 2,
      })),
    ),
  );
}

function valuesOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

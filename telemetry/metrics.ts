// The metrics of one process: those of the table, what Node tells of itself, and GET /metrics for processes that have no API.
import { performance, type EventLoopUtilization } from 'node:perf_hooks';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { metrics, type MetricLabel, type MetricName, type MetricProcess, type MetricRow } from '#contracts/metrics.ts';

type NameOf<Kind extends MetricRow['kind']> = {
  [Name in MetricName]: (typeof metrics)[Name]['kind'] extends Kind ? Name : never;
}[MetricName];

export interface Meters {
  readonly registry: Registry;
  counter<Name extends NameOf<'counter'>>(name: Name): Counter<MetricLabel<Name>>;
  histogram<Name extends NameOf<'histogram'>>(name: Name): Histogram<MetricLabel<Name>>;
  /** @param read Sets the gauge whenever somebody looks; what cannot be read is left out, and nothing else is lost by that. */
  gauge<Name extends NameOf<'gauge'>>(
    name: Name,
    read?: (gauge: Gauge<MetricLabel<Name>>) => Promise<void> | void,
  ): Gauge<MetricLabel<Name>>;
  /** For traces, which are loaded only where they are wanted. */
  readonly droppedSpans: Counter<MetricLabel<'sentinel_trace_spans_dropped_total'>>;
}

/** What the pool of a store says of itself. */
export interface PoolReading {
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
  readonly options: { readonly max: number };
}

/** @param version of this release */
export function createMeters(process: MetricProcess, version: string): Meters {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const definitionOf = (name: MetricName) => {
    const row: MetricRow = metrics[name];
    if (!row.processes.includes(process)) throw new TypeError(`${name} is no metric of the ${process}`);
    return { name, help: row.meaning, labelNames: [...(row.labels ?? [])], registers };
  };
  const counter: Meters['counter'] = (name) => new Counter(definitionOf(name)) as never;
  const meters: Meters = {
    registry,
    counter,
    droppedSpans: counter('sentinel_trace_spans_dropped_total'),
    histogram: (name) => {
      return new Histogram({ ...definitionOf(name), buckets: [...metrics[name].buckets] }) as never;
    },
    gauge: (name, read) => {
      const { labelNames, ...definition } = definitionOf(name);
      const made: Gauge = new Gauge({
        ...definition,
        labelNames,
        ...(read === undefined
          ? {}
          : {
              async collect() {
                clear(made, labelNames.length > 0);
                try {
                  await withinLimit(Promise.resolve(read(made as never)));
                } catch {
                  clear(made, labelNames.length > 0);
                }
              },
            }),
      });
      return made as never;
    },
  };
  meters.gauge('sentinel_info').set({ version }, 1);
  let seen: EventLoopUtilization = performance.eventLoopUtilization();
  meters.gauge('sentinel_event_loop_utilization', (gauge) => {
    const now = performance.eventLoopUtilization();
    gauge.set(performance.eventLoopUtilization(now, seen).utilization);
    seen = now;
  });
  return meters;
}

/** Whoever scrapes gives up after some seconds, and then nothing is seen of all the rest either. */
const readingLimitMs = 2_000;

function withinLimit(reading: Promise<void>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error('the reading takes too long')), readingLimitMs);
  reading.then(resolve, reject).finally(() => clearTimeout(timer));
  return promise;
}

function clear(gauge: Gauge, isLabelled: boolean): void {
  gauge.reset();
  // A reset leaves a zero where there are no labels, and a zero is a reading.
  if (!isLabelled) gauge.remove();
}

/** Shows how busy the connections to the database are. */
export function watchPool({ gauge }: Meters, pool: PoolReading): void {
  gauge('sentinel_database_connections_limit', (limit) => limit.set(pool.options.max));
  gauge('sentinel_database_connections', (connections) => {
    connections.set({ state: 'busy' }, pool.totalCount - pool.idleCount);
    connections.set({ state: 'idle' }, pool.idleCount);
    connections.set({ state: 'waiting' }, pool.waitingCount);
  });
}

// What Temporal's core counts: it has an exporter of its own on loopback, which this reads and passes on behind the one door.
import { request } from 'node:http';
import type { Meters } from '#telemetry/metrics.ts';
import type { Log } from '#contracts/deps.ts';

export interface CoreMetrics {
  /** As core exports it; empty while it cannot be read. */
  read(): Promise<string>;
}

/** A registry whose answer ends with what core says. */
export function withCore(registry: Pick<Meters['registry'], 'contentType' | 'metrics'>, core: CoreMetrics) {
  return {
    contentType: registry.contentType,
    async metrics(): Promise<string> {
      const texts = await Promise.all([registry.metrics(), core.read()]);
      return texts.join('\n');
    },
  };
}

const limitMs = 1_500;
const largestBytes = 8 * 1024 * 1024;

export function readCoreMetrics(bindAddress: string, log: Log): CoreMetrics {
  return {
    async read() {
      try {
        return await fetchText(`http://${bindAddress}/metrics`);
      } catch (error) {
        log.warn({ err: error }, 'the metrics of Temporal’s core cannot be read');
        return '';
      }
    },
  };
}

function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, signal: AbortSignal.timeout(limitMs) }, (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('error', reject);
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > largestBytes) answer.destroy(new Error('more than anybody would read'));
        else chunks.push(chunk);
      });
      answer.on('end', () => resolve(Buffer.concat(chunks).toString()));
    });
    sent.on('error', reject);
    sent.end();
  });
}

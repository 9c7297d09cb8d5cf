// How often an API has asked Temporal for something, by the count that its client keeps of every call.
import { createTransport } from '#client/node-transport.ts';
import type { Api, Installation } from './installation.ts';

const counted = 'sentinel_temporal_request_duration_seconds';
const line = new RegExp(`^${counted}_count\\{(.*)\\} (\\S+)$`);

/** @param metrics in the text format of Prometheus. @throws Error when it says nothing of Temporal */
export function callsOf(metrics: string): number {
  if (!metrics.includes(`# TYPE ${counted} `)) throw new Error(`the API does not say ${counted}`);
  return metrics.split('\n').reduce((sum, text) => sum + Number(line.exec(text)?.[2] ?? 0), 0);
}

/** Of all these together. */
export async function readCalls({ ca }: Pick<Installation, 'ca'>, apis: readonly Api[]): Promise<number> {
  const transport = createTransport({ ca: ca.caCertificatePem });
  try {
    let calls = 0;
    for (const { url } of apis) {
      const answer = await transport.fetch(`${url}/api/metrics`, {
        method: 'GET',
        headers: {},
        signal: AbortSignal.timeout(10_000),
        redirect: 'error',
      });
      calls += callsOf(await answer.text());
    }
    return calls;
  } finally {
    await transport.close();
  }
}

// The connection of one device, which can be made to break in the midst of a request, as a bad network does.
import type { ClientRequest } from 'node:http';
import type { Fetch } from '#client/request.ts';
import { createAgentTransport } from '../transport.ts';

export interface ConnectionOptions {
  /** Authority to trust the server with (PEM). */
  readonly ca: string;
  /** Certificate and key of the device (PEM); none for somebody who has none. */
  readonly identity: { readonly certificate: string; readonly key: string } | null;
}

/** Before the request is written whole, or when it is. */
export type Break = 'lost_request' | 'lost_answer';

export interface Connection {
  readonly fetch: Fetch;
  /** Breaks the connection really: the server sees it, and may or may not have read the request. */
  readonly breaking: (when: Break) => Fetch;
  close(): void;
}

export function openConnection({ ca, identity }: ConnectionOptions): Connection {
  let plan: Break | null = null;
  const transport = createAgentTransport({ ca, ...identity }, (request, body) => writeAsPlanned(request, body, plan));
  return {
    fetch: transport.fetch,
    breaking: (when) => (url, init) => {
      // A request is written before fetch returns.
      plan = when;
      try {
        return transport.fetch(url, init);
      } finally {
        plan = null;
      }
    },
    close: transport.close,
  };
}

function writeAsPlanned(request: ClientRequest, body: string, plan: Break | null): void {
  const broken = (): void => void request.destroy(new Error('the network broke, as planned'));
  if (plan === 'lost_request') request.write(body.slice(0, body.length >> 1), broken);
  else if (plan === 'lost_answer') request.end(body, broken);
  else request.end(body);
}

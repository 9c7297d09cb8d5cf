// Where a person can look at the workflow of an actor.
import type { Device } from '#contracts/http/devices.ts';
import type { Target } from './connection.ts';

/** An address to open; the workflow's id once Temporal has let go of it. A path is one on the host of the API. */
export function workflowLink({ id, url }: Device['workflow'], target: Pick<Target, 'url'>): string {
  return url === null ? id : (URL.parse(url, target.url)?.href ?? id);
}

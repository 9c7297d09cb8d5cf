// Connections of devices that were told to rest: what they send at once all the same is not read for a while. Whoever takes
// no notice of a refusal would otherwise be refused again and again, and that would take the processor people wait for.
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';

/**
 * Leaves the connection of a request that has been answered alone, for so long or a while; what was sent meanwhile is read
 * then. Only where a device has the connection for itself: behind a proxy, others would wait as well.
 */
export function restConnection({ socket, complete }: IncomingMessage, restMs: number): void {
  // Without a client certificate it may be somebody's browser.
  if (!(socket instanceof TLSSocket) || !socket.authorized || !complete || socket.destroyed) return;
  socket.pause();
  const over = (): void => {
    clearTimeout(timer);
    socket.off('close', over);
    socket.resume();
  };
  const timer = setTimeout(over, unreadMs(restMs)).unref();
  socket.once('close', over);
}

/**
 * Half a minute at most, since nor is it seen meanwhile that the other end has closed the connection, which then counts among
 * all that are open; and spread as rests are, so that those who were refused together are not read together again.
 */
function unreadMs(restMs: number): number {
  return Math.min(restMs, 5_000 + restMs / 12);
}

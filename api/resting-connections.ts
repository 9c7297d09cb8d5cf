// Connections of devices that were told to rest: what comes before the rest is over is not read. Whoever takes no notice of
// a refusal would otherwise be refused again at once, and refusals would take the processor that people wait for.
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';

/**
 * Leaves the connection alone for so long, when the request has been answered; what was sent meanwhile is read then.
 * Only where a device has the connection for itself: behind a proxy, others would wait as well.
 */
export function restConnection({ socket, complete }: IncomingMessage, milliseconds: number): void {
  // Without a client certificate it may be somebody's browser.
  if (!(socket instanceof TLSSocket) || !socket.authorized || !complete) return;
  socket.pause();
  const over = (): void => {
    clearTimeout(timer);
    socket.off('close', over);
    socket.resume();
  };
  const timer = setTimeout(over, milliseconds).unref();
  socket.once('close', over);
}

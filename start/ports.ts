// Ports: one that is taken is an error which names the setting to change.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { TrustError } from '#contracts/problems.ts';
import type { SettingName } from '#contracts/settings.ts';

/** @throws TrustError `service.unavailable` naming the setting */
export async function requireFreePort(setting: SettingName, host: string, port: number): Promise<void> {
  try {
    await listenOnce(host, port);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TrustError('service.unavailable', { detail: `${setting}: ${explain(code, host, port)}`, cause });
  }
}

/** Below those that systems give to outgoing connections, any of which could have taken it by the time that it is used. */
const searched = { from: 10_240, to: 32_000 } as const;

/** A loopback port that is free at this moment; another process may take it before it is used. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(searched.from, searched.to);
    const free = await listenOnce('127.0.0.1', port).catch(() => null);
    if (free !== null) return free;
  }
  return listenOnce('127.0.0.1', 0);
}

function explain(code: string | undefined, host: string, port: number): string {
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is taken by another process. Stop it, or set another port.`;
    case 'EACCES':
      return `port ${port} needs more rights than this user has. Set a port above 1023.`;
    case 'EADDRNOTAVAIL':
      return `this machine has no address ${host}.`;
    default:
      return `port ${port} on ${host} cannot be used (${code}).`;
  }
}

/** The port, free again; rejects when it is taken. */
export function listenOnce(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}

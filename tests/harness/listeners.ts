// The addresses that a process listens on, as the kernel has them.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** IPv4 as `127.0.0.1:80`, IPv6 in the kernel's hexadecimal; everything of the process, whatever it is for. */
export function listeners(pid: number): readonly string[] {
  const sockets = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)));
  return ['tcp', 'tcp6'].flatMap((family) =>
    readFileSync(`/proc/${pid}/net/${family}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      // 0A: listening.
      .filter(([, , , state, , , , , , inode]) => state === '0A' && sockets.has(`socket:[${inode}]`))
      .map(([, local = '']) => (family === 'tcp' ? readable(local) : local)),
  );
}

function readable(local: string): string {
  const [address = '', port = ''] = local.split(':');
  const bytes = (address.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).toReversed();
  return `${bytes.join('.')}:${parseInt(port, 16)}`;
}

// What facts are read from: files and programs of the machine, each with a limit of bytes and time. Unreadable is null.
import { execFile } from 'node:child_process';
import { open, readdir, realpath } from 'node:fs/promises';
import * as os from 'node:os';

export interface System {
  readonly platform: NodeJS.Platform;
  readonly architecture: string;
  hostname(): string;
  /** Of the kernel. */
  release(): string;
  /** Of the operating system, as it calls itself; only Windows says something useful. */
  version(): string;
  uptimeSeconds(): number;
  readFile(path: string): Promise<Buffer | null>;
  list(path: string): Promise<readonly string[] | null>;
  realPath(path: string): Promise<string | null>;
  /** What a program prints when it ends well. */
  run(program: Program, args: readonly string[]): Promise<string | null>;
}

/** Programs of the operating system, by the place that only its administrator can write to. */
export type Program = 'fdesetup' | 'launchctl' | 'powershell' | 'reg' | 'sw_vers' | 'system_profiler' | 'systemctl';

const largestBytes = 64 * 1024;
const slowestMs = 15_000;

/** @param systemRoot Folder of Windows. */
export function createSystem(systemRoot = 'C:\\Windows'): System {
  const programs: Readonly<Record<Program, string>> = {
    fdesetup: '/usr/bin/fdesetup',
    launchctl: '/bin/launchctl',
    powershell: `${systemRoot}\\System32\\WindowsPowerShell\\v1.0\\powershell.exe`,
    reg: `${systemRoot}\\System32\\reg.exe`,
    sw_vers: '/usr/bin/sw_vers',
    system_profiler: '/usr/sbin/system_profiler',
    systemctl: '/usr/bin/systemctl',
  };
  return {
    platform: process.platform,
    architecture: process.arch,
    hostname: os.hostname,
    release: os.release,
    version: os.version,
    uptimeSeconds: os.uptime,
    readFile,
    list: (path) => readdir(path).catch(() => null),
    realPath: (path) => realpath(path).catch(() => null),
    run: (program, args) =>
      new Promise((resolve) => {
        const limits = {
          timeout: slowestMs,
          killSignal: 'SIGKILL',
          maxBuffer: largestBytes,
          windowsHide: true,
        } as const;
        const child = execFile(programs[program], [...args], limits, (error, output) =>
          resolve(error === null ? output : null),
        );
        child.stdin?.end();
      }),
  };
}

/** Files of /proc and /sys come in pieces and have no size. */
async function readFile(path: string): Promise<Buffer | null> {
  try {
    const handle = await open(path, 'r');
    try {
      const buffer = Buffer.alloc(largestBytes);
      let length = 0;
      for (;;) {
        const { bytesRead } = await handle.read(buffer, length, largestBytes - length);
        if (bytesRead === 0) return buffer.subarray(0, length);
        length += bytesRead;
      }
    } finally {
      await handle.close();
    }
  } catch {
    return null;
  }
}

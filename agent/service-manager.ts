// Tells systemd how the agent is, when it asks. Watching and restarting are its job: there is no watchdog of ours.
import { execFile } from 'node:child_process';

export interface ServiceManager {
  /** The agent has begun; called again, only the status changes. */
  ready(status: string): void;
  status(status: string): void;
  stopping(): void;
  alive(): void;
  /** How long a wait may be at most between two signs of life; `null` when nobody watches. */
  readonly signEveryMs: number | null;
}

export interface ServiceManagerDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  /** Node has no datagram sockets of this kind, so systemd's own program speaks for us. */
  readonly notify?: (args: readonly string[]) => Promise<void>;
}

export function createServiceManager(deps: ServiceManagerDeps): ServiceManager {
  const { environment, notify = systemdNotify(environment) } = deps;
  if ((environment['NOTIFY_SOCKET'] ?? '') === '') return nobody;
  let last = Promise.resolve();
  // One after the other, so that systemd hears them in this order.
  const tell = (...args: string[]): void => {
    last = last.then(() => notify(args));
  };
  return {
    ready: (status) => tell('--ready', `--status=${status}`),
    status: (status) => tell(`--status=${status}`),
    stopping: () => tell('--stopping'),
    alive: () => tell('WATCHDOG=1'),
    signEveryMs: signEvery(deps),
  };
}

const nobody: ServiceManager = { ready() {}, status() {}, stopping() {}, alive() {}, signEveryMs: null };

/** Half of the time after which systemd gives up on the process. @see sd_watchdog_enabled(3) */
function signEvery({ environment, pid }: ServiceManagerDeps): number | null {
  const microseconds = Number(environment['WATCHDOG_USEC'] ?? '');
  const isForUs = [undefined, '', String(pid)].includes(environment['WATCHDOG_PID']);
  return isForUs && microseconds > 0 ? Math.max(1000, microseconds / 2000) : null;
}

/** Makes the function that runs it; it never rejects, since what cannot be said is not worth an error. */
export function systemdNotify(environment: ServiceManagerDeps['environment']) {
  const { NOTIFY_SOCKET = '', PATH = '/usr/bin:/bin' } = environment;
  return (args: readonly string[]): Promise<void> =>
    new Promise((resolve) => {
      const options = { env: { NOTIFY_SOCKET, PATH }, timeout: 5_000, killSignal: 'SIGKILL' } as const;
      execFile('systemd-notify', [...args], options, () => resolve());
    });
}

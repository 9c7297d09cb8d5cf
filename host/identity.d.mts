// What `identity.mjs` exports.
export interface ProcessIdentity {
  readonly pid: number;
  /** As the system tells it; compared, never parsed. */
  readonly started: string;
}

/** The identity of a running process; `null` when there is none, or only a zombie. */
export function identify(pid: number): ProcessIdentity | null;
export function isRunning(identity: ProcessIdentity): boolean;

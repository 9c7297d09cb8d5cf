// What the preflight says about one thing it looked at.

export interface Finding {
  /** An error ends the preflight with a failure; a warning is for somebody to think about. */
  readonly level: 'ok' | 'warning' | 'error';
  /** What was looked at: a key of the configuration, or a part of the way to the server. */
  readonly subject: string;
  /** Never holds anything secret. */
  readonly message: string;
  /** What to do; `null` when there is nothing to do. */
  readonly advice: string | null;
}

export function ok(subject: string, message: string): Finding {
  return { level: 'ok', subject, message, advice: null };
}

export function warning(subject: string, message: string, advice: string): Finding {
  return { level: 'warning', subject, message, advice };
}

export function error(subject: string, message: string, advice: string): Finding {
  return { level: 'error', subject, message, advice };
}

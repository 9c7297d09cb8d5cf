// The answer to one heartbeat, read from the bytes of a connection that carries one request at a time.

export interface HeartbeatAnswer {
  readonly status: number;
  /** Null when it names no time. */
  readonly retryAfterSeconds: number | null;
}

/** @param text all that came since the request was sent. @returns null while something is missing */
export function readAnswer(text: string): HeartbeatAnswer | null {
  const head = text.indexOf('\r\n\r\n');
  if (head === -1) return null;
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
  if (length === undefined) throw new Error('an answer without its length');
  if (text.length < head + 4 + Number(length)) return null;
  const rest = /\r\nretry-after: (\d+)\r\n/i.exec(text)?.[1];
  return { status: Number(text.slice(9, 12)), retryAfterSeconds: rest === undefined ? null : Number(rest) };
}

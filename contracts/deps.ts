// The outside world as arguments: time and randomness are passed in, so that every run can be repeated.

/** RFC 3339, UTC, milliseconds: `2026-01-02T03:04:05.678Z`. Strings of this form sort by time. */
export type Instant = string;

/** Where the present comes from. Only `main.ts` files use `systemClock`, and `systemRandom` likewise. */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };

/** Source of random bytes and ids. */
export interface Random {
  bytes(size: number): Uint8Array;
  uuid(): string;
}

/** The platform's own source, the same in browsers and in Node. */
export const systemRandom: Random = {
  bytes: (size) => crypto.getRandomValues(new Uint8Array(size)),
  uuid: () => crypto.randomUUID(),
};

/** A value that survives JSON without change: what may cross Temporal, HTTP and Postgres. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export type SpanAttributes = Readonly<Record<string, string | number>>;

/** Where a part says what it does for a request, and how long that takes. */
export interface Tracer {
  /** Runs the work in a span below the one that it is called in; outside any, just runs it. */
  span<T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T>;
}

/** Structured log with fields first, as pino has it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

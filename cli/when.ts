// Instants as people read them: how long ago, or how soon. In a pipe they stay what they are.
import type { CliContext } from './context.ts';
import { wrongUsage } from './failure.ts';

type Reader = Pick<CliContext, 'terminal' | 'clock'>;

const steps = [
  { unit: 's', seconds: 1, below: 60 },
  { unit: 'min', seconds: 60, below: 60 },
  { unit: 'h', seconds: 3600, below: 48 },
  { unit: 'd', seconds: 86_400, below: Infinity },
] as const;

/** For a column: `12 s ago` in a terminal, `2026-01-02 03:04:05Z` in a pipe. */
export function shortTime(reader: Reader, instant: string | null): string {
  if (instant === null) return 'never';
  return reader.terminal.columns === null ? stamp(instant) : relative(instant, reader.clock.now());
}

/** For a fact: `2026-01-02 03:04:05Z (12 s ago)` in a terminal. */
export function longTime(reader: Reader, instant: string | null): string {
  if (instant === null) return 'never';
  return reader.terminal.columns === null ? stamp(instant) : absolute(instant, reader.clock.now());
}

/** `12 s ago`, `in 3 d`, `now`. */
export function relative(instant: string, now: Date): string {
  const seconds = Math.round((Date.parse(instant) - now.getTime()) / 1000);
  if (seconds === 0) return 'now';
  const size = Math.abs(seconds);
  const step = steps.find((candidate) => size < candidate.seconds * candidate.below) ?? steps[3];
  const length = `${Math.floor(size / step.seconds)} ${step.unit}`;
  return seconds < 0 ? `${length} ago` : `in ${length}`;
}

/** Both forms: `2026-01-02 03:04:05Z (12 s ago)`. */
export function absolute(instant: string, now: Date): string {
  return `${stamp(instant)} (${relative(instant, now)})`;
}

export function stamp(instant: string): string {
  return `${instant.slice(0, 19).replace('T', ' ')}Z`;
}

/** What a person gave as a time, as the API takes it. */
export function instantOf(text: string): string {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw wrongUsage(`${text} is no time.`, 'Say it like 2026-01-31T12:00:00Z.');
  return time.toISOString();
}

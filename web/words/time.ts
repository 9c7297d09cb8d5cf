// Instants in words: how long ago, and the exact time here and in UTC.

const steps = [
  { limit: 60, size: 1, unit: 's' },
  { limit: 3600, size: 60, unit: 'min' },
  { limit: 48 * 3600, size: 3600, unit: 'h' },
  { limit: Infinity, size: 86_400, unit: 'd' },
] as const;

/** A distance as people say it, with one unit: `4 s`, `12 min`, `3 h`, `9 d`. What is past is rounded down, what comes to the nearest. */
export function spanText(ms: number): string {
  const seconds = Math.floor(Math.abs(ms) / 1000);
  const step = steps.find(({ limit }) => seconds < limit) ?? steps[3];
  const count = seconds / step.size;
  return `${ms > 0 ? Math.round(count) : Math.floor(count)} ${step.unit}`;
}

/** `4 s ago`, `in 3 d`; a second either way is now. */
export function relativeTime(at: string, nowMs: number): string {
  const ms = Date.parse(at) - nowMs;
  if (Math.abs(ms) < 1000) return 'just now';
  return ms < 0 ? `${spanText(ms)} ago` : `in ${spanText(ms)}`;
}

const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** Date and time in the reader's time zone. */
export const localTime = (at: string): string => local.format(new Date(at));

/** `2026-11-23 09:12:05 UTC`. */
export const utcTime = (at: string): string => `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

/** For a tooltip: the same instant for the reader and for everyone else. */
export const bothTimes = (at: string): string => `${localTime(at)} (your time)\n${utcTime(at)}`;

/** How long something lasted, in two units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`. */
export function lengthText(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return `${Math.max(0, Math.round(ms / 1000))} s`;
  const [days, hours, rest] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60), minutes % 60];
  const parts =
    days > 0 ? [`${days} d`, hours > 0 && `${hours} h`] : [hours > 0 && `${hours} h`, rest > 0 && `${rest} min`];
  return parts.filter((part) => part !== false).join(' ');
}

// Instants as people read them: how long ago, or how soon.

const steps = [
  { unit: 's', seconds: 1, below: 60 },
  { unit: 'min', seconds: 60, below: 60 },
  { unit: 'h', seconds: 3600, below: 48 },
  { unit: 'd', seconds: 86_400, below: Infinity },
] as const;

/** `12 s ago`, `in 3 d`, `now`; `never` for no instant. */
export function relative(instant: string | null, now: Date): string {
  if (instant === null) return 'never';
  const seconds = Math.round((Date.parse(instant) - now.getTime()) / 1000);
  if (seconds === 0) return 'now';
  const size = Math.abs(seconds);
  const step = steps.find((candidate) => size < candidate.seconds * candidate.below) ?? steps[3];
  const length = `${Math.floor(size / step.seconds)} ${step.unit}`;
  return seconds < 0 ? `${length} ago` : `in ${length}`;
}

/** Both forms: `2026-01-02 03:04:05Z (12 s ago)`. */
export function absolute(instant: string | null, now: Date): string {
  if (instant === null) return 'never';
  return `${instant.slice(0, 19).replace('T', ' ')}Z (${relative(instant, now)})`;
}

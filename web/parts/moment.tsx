// An instant, relative and ticking, or in full; the other form and UTC are in its tooltip.
import { useCallback, useSyncExternalStore } from 'react';
import { subscribeToSeconds } from '../data/seconds.ts';
import { useServices } from '../data/services.tsx';
import { bothTimes, localTime, relativeTime } from '../words/time.ts';

interface MomentProps {
  readonly at: string | null;
  /** Said when there is no instant. */
  readonly empty?: string;
}

/** `4 s ago`. Rendered again only when the words change. */
export function Moment({ at, empty = 'Never' }: MomentProps) {
  const text = useTickingText(useCallback((nowMs: number) => (at === null ? '' : relativeTime(at, nowMs)), [at]));
  if (at === null) return <span>{empty}</span>;
  return (
    <time dateTime={at} title={bothTimes(at)}>
      {text}
    </time>
  );
}

/** Date and time in the reader's zone. */
export function FullMoment({ at, empty = 'Never' }: MomentProps) {
  if (at === null) return <span>{empty}</span>;
  return (
    <time dateTime={at} title={bothTimes(at)}>
      {localTime(at)}
    </time>
  );
}

/** A text about the present that is made anew every second. */
export function useTickingText(make: (nowMs: number) => string): string {
  const { connection } = useServices();
  return useSyncExternalStore(subscribeToSeconds, () => make(connection.nowMs()));
}

/** The present to the nearest `stepMs`, for decisions while rendering. */
export function useNowMs(stepMs = 1000): number {
  const { connection } = useServices();
  return useSyncExternalStore(subscribeToSeconds, () => Math.floor(connection.nowMs() / stepMs) * stepMs);
}

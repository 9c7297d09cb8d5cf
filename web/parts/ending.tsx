// When a certificate ends, said as a warning when that is near.
import { useCallback } from 'react';
import { bothTimes, relativeTime } from '../words/time.ts';
import { NoteBadge } from './badges.tsx';
import { useTickingText } from './moment.tsx';

interface EndingProps {
  readonly at: string;
  readonly isSoon: boolean;
  /** Then it does not matter any more when it would have ended. */
  readonly isRevoked?: boolean;
}

export function Ending({ at, isSoon, isRevoked = false }: EndingProps) {
  const text = useTickingText(
    useCallback(
      (nowMs: number) => `${Date.parse(at) <= nowMs ? 'Expired' : 'Expires'} ${relativeTime(at, nowMs)}`,
      [at],
    ),
  );
  if (isRevoked) return <NoteBadge tone="bad" label="Revoked" meaning="It is refused for ever." />;
  const isOver = text.startsWith('Expired');
  if (isOver) return <NoteBadge tone="bad" label={text} meaning={bothTimes(at)} />;
  if (isSoon) return <NoteBadge tone="watch" label={text} meaning={bothTimes(at)} />;
  return (
    <time dateTime={at} title={bothTimes(at)}>
      {text}
    </time>
  );
}

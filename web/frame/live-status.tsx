// Follows the event stream while somebody is signed in, and says whether it runs.
import { IconBolt, IconBoltOff, IconPlayerPause } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { followEvents, type LiveState } from '../data/live.ts';
import { useBarrier, useConnection } from '../data/services.tsx';
import classes from './live-status.module.css';

export function LiveStatus() {
  const cache = useQueryClient();
  const barrier = useBarrier('event.read');
  const [state, setState] = useState<LiveState>('connecting');
  useEffect(() => {
    if (barrier !== null) return;
    return followEvents({
      open: () => new EventSource('/api/events/stream'),
      onChange: (areas) => {
        for (const area of areas) void cache.invalidateQueries({ queryKey: [area] });
      },
      onState: setState,
      document,
      random: Math.random,
      nowMs: Date.now,
    });
  }, [barrier, cache]);

  const isLost = useConnection().lostSince !== null;
  const shown = isLost ? 'lost' : barrier === null ? state : 'retrying';
  const { icon: StatusIcon, label, meaning } = words[shown];
  return (
    <span className={classes['status']} data-state={shown} title={barrier ?? meaning} role="status">
      <StatusIcon size={15} aria-hidden />
      {label}
    </span>
  );
}

const words = {
  connecting: { icon: IconBolt, label: 'Connecting', meaning: 'The event stream is being opened.' },
  live: { icon: IconBolt, label: 'Live', meaning: 'Changes show within a second.' },
  retrying: { icon: IconBoltOff, label: 'Polling', meaning: 'No event stream: pages read again every few seconds.' },
  lost: { icon: IconBoltOff, label: 'No connection', meaning: 'The API does not answer.' },
  paused: { icon: IconPlayerPause, label: 'Paused', meaning: 'Nothing is read while this page is hidden.' },
} as const;

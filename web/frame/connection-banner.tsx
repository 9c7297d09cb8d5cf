// Says that the API does not answer, since when, and that what is shown is old.
import { IconPlugConnectedX } from '@tabler/icons-react';
import { useConnection } from '../data/services.tsx';
import { Moment } from '../parts/moment.tsx';
import classes from './connection-banner.module.css';

export function ConnectionBanner() {
  const { lostSince } = useConnection();
  return (
    <div role="alert">
      {lostSince !== null && (
        <p className={classes['banner']}>
          <IconPlugConnectedX size={18} aria-hidden />
          <span>
            <strong>Connection lost</strong> <Moment at={new Date(lostSince).toISOString()} />. What you see may be out
            of date. Trying again every few seconds.
          </span>
        </p>
      )}
    </div>
  );
}

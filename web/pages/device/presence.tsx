// When a device was heard in the last day, as a strip; and where it stands now.
import type { DeviceTimeline } from '#contracts/http/timeline.ts';
import { LivenessBadge } from '../../parts/badges.tsx';
import { Moment } from '../../parts/moment.tsx';
import { counted } from '../../words/names.ts';
import { lengthText, localTime } from '../../words/time.ts';
import classes from './presence.module.css';

type Shown = DeviceTimeline['presence'];

const width = 1000;
const height = 22;

export function Presence({ presence }: { readonly presence: Shown }) {
  const { liveness, last_seen_at, online_since, heartbeat_counter } = presence;
  return (
    <div className={classes['presence']}>
      <p className={classes['now']}>
        <LivenessBadge liveness={liveness} plain />
        {online_since !== null && (
          <span>
            since <Moment at={online_since} />
          </span>
        )}
        <span>
          last heartbeat <Moment at={last_seen_at} empty="never" />
        </span>
        {heartbeat_counter !== null && <span>counter {heartbeat_counter.toLocaleString()}</span>}
      </p>
      <Strip presence={presence} />
    </div>
  );
}

function Strip({ presence }: { readonly presence: Shown }) {
  const [since, until] = [Date.parse(presence.since), Date.parse(presence.until)];
  const place = (at: string): number =>
    ((Math.min(Math.max(Date.parse(at), since), until) - since) / (until - since)) * width;
  const silences = presence.silences.map(({ from, until: end }) => {
    const start = place(from);
    // What is short is still seen.
    return { from, end, x: start, size: Math.max(place(end) - start, 3) };
  });
  return (
    <figure className={classes['strip']}>
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={inWords(presence)}>
        <rect className={classes['heard']} width={width} height={height} />
        {silences.map(({ from, end, x, size }) => (
          <rect key={from} className={classes['silent']} x={Math.min(x, width - size)} width={size} height={height}>
            <title>{`Silent from ${localTime(from)} to ${localTime(end)}`}</title>
          </rect>
        ))}
      </svg>
      <figcaption>
        <span>24 h ago</span>
        <span className={classes['legend']}>
          <i data-of="heard" /> heard <i data-of="silent" /> silent
        </span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}

/** The strip for those who do not see it. */
function inWords({ since, until, silences }: Shown): string {
  const silentMs = silences.reduce(
    (sum, { from, until: end }) => sum + Math.max(0, Date.parse(end) - Math.max(Date.parse(from), Date.parse(since))),
    0,
  );
  if (silences.length === 0) return 'In the last 24 hours it was heard all the time.';
  const heard = Math.round((1 - silentMs / (Date.parse(until) - Date.parse(since))) * 100);
  return `In the last 24 hours it was silent ${counted(silences.length, 'time')}, ${lengthText(silentMs)} in all, and heard ${heard} % of the time.`;
}

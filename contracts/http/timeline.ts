// /api/devices/<id>/timeline: everything that happened to a device in one list.
import { Type, type Static } from 'typebox';
import { livenessStates, timelineKinds } from '../states.ts';
import { AuditEvent } from './audit.ts';
import { Exactly, Instant, ListQuery, Names, Nullable } from './common.ts';
import { HistoryEntry } from './devices.ts';

const Silence = Type.Object({ from: Instant, until: Instant });

export const TimelineEntry = Type.Object(
  {
    kind: Names(timelineKinds),
    at: Instant,
    transition: Nullable(HistoryEntry),
    audit: Nullable(AuditEvent),
    /** What ended when it was heard again; null when it was heard for the first time. */
    silence: Nullable(Silence),
  },
  { description: 'Of transition and audit the one that its kind names is there' },
);
export type TimelineEntry = Static<typeof TimelineEntry>;

export const TimelineQuery = Exactly({ ...ListQuery, kind: Type.Optional(Names(timelineKinds)) });
export type TimelineQuery = Static<typeof TimelineQuery>;

export const DeviceTimeline = Type.Object({
  items: Type.Array(TimelineEntry),
  next_cursor: Nullable(Type.String()),
  kinds: Type.Array(Names(timelineKinds), { description: 'What the asking person may read, and asked for' }),
  presence: Type.Object(
    {
      liveness: Names(livenessStates),
      last_seen_at: Nullable(Instant),
      online_since: Nullable(Instant),
      heartbeat_counter: Nullable(Type.Integer()),
      since: Instant,
      until: Instant,
      silences: Type.Array(Silence),
    },
    { description: 'When it was heard between `since` and `until`: always, but for the silences' },
  ),
});
export type DeviceTimeline = Static<typeof DeviceTimeline>;

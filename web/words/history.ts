// What happened to an actor, in words; events that have none here are said as they are called.
import type { HistoryEntry } from '#contracts/http/devices.ts';
import { plainName } from './names.ts';

const eventWords: Readonly<Record<string, string>> = {
  'news.announced': 'News was announced',
  'news.fetched': 'New facts were taken in',
  'approval.closed': 'A review was closed',
  'approval.read': 'A decision was taken in',
  'device.reset': 'Reset',
  'device.retire': 'Taken out of service',
  'deadline.passed': 'A deadline passed',
  'actor.adopted': 'The stored state was adopted',
  'commit.refused': 'The store refused a change',
};

export const eventTitle = ({ event }: Pick<HistoryEntry, 'event'>): string => eventWords[event] ?? plainName(event);

/** `Pending → Approved`, or only where it stayed. */
export function stateChange({ from_state, to_state }: Pick<HistoryEntry, 'from_state' | 'to_state'>): string {
  if (from_state === null || from_state === to_state) return plainName(to_state);
  return `${plainName(from_state)} → ${plainName(to_state)}`;
}

// What happened to a device as one line of its timeline.
import type { TimelineEntry } from '#contracts/http/timeline.ts';
import { actionTitle } from './actions.ts';
import { eventTitle, stateChange } from './history.ts';
import { plainName } from './names.ts';
import type { Tone } from './states.ts';
import { lengthText } from './time.ts';

export interface TimelineWords {
  readonly title: string;
  /** What it became, or what was said of it. */
  readonly text: string;
  readonly tone: Tone;
}

const outcomeTones = { success: 'info', refused: 'watch', failed: 'bad' } as const;

export function timelineWords({ transition, audit, silence }: TimelineEntry): TimelineWords {
  if (transition !== null) {
    return { title: eventTitle(transition), text: stateChange(transition), tone: stateTone(transition.to_state) };
  }
  if (audit !== null) {
    const { code, reason, count } = audit.details;
    const problem = typeof code === 'string' ? plainName(code).toLowerCase() : '';
    const said = [problem, reason].filter((part) => typeof part === 'string' && part !== '').join(': ');
    const outcome = audit.outcome === 'success' ? '' : `${plainName(audit.outcome)}`;
    return {
      title: actionTitle(audit.action),
      // What is refused again and again is one entry a minute.
      text: [outcome, said, Number(count) > 1 ? `${Number(count)} times` : ''].filter((part) => part !== '').join(', '),
      tone: outcomeTones[audit.outcome],
    };
  }
  if (silence === null) return { title: 'Heard for the first time', text: '', tone: 'good' };
  const length = lengthText(Date.parse(silence.until) - Date.parse(silence.from));
  return { title: 'Heard again', text: `after ${length} of silence`, tone: 'watch' };
}

function stateTone(state: string): Tone {
  if (state === 'approved') return 'good';
  return state === 'rejected' || state === 'retired' ? 'bad' : 'quiet';
}

/** The key of an entry: stable while others come before it. */
export function timelineKey({ kind, at, transition, audit }: TimelineEntry): string {
  if (transition !== null) return `${kind} ${transition.epoch} ${transition.revision}`;
  return audit === null ? `${kind} ${at}` : `${kind} ${audit.sequence}`;
}

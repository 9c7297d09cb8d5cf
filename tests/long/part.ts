// A part of the long tests, as its file sees it: how much time there is, which seed to begin with, and who is told what.
import { parts, timeOf, type PartName } from './parts.ts';
import { writeNote, type Finding, type Note } from './notes.ts';

export interface Part {
  /** Each repeats what it stands for; the first one is what was asked for, and the next are those after it. */
  readonly seed: number;
  readonly timeMs: number;
  leftMs(): number;
  /** Whether something may begin that takes so long. */
  hasTimeFor(milliseconds: number): boolean;
  /** What is seen of it meanwhile; a function is asked again and again. */
  doing(what: string | (() => string), seed?: number): void;
  found(finding: Omit<Finding, 'kind' | 'part' | 'seed'> & { readonly seed?: number }): void;
  /** Said when it is less than the full count. */
  did(what: string, times: number, full?: number): void;
}

/** Often enough for those who read it every 20 seconds. */
const noteEveryMs = 5_000;

/** What `npm run test:long` sets; a file that is run alone has a minute. */
const asked = {
  endMs: Number(process.env['TEST_LONG_END'] ?? Date.now() + 60_000),
  parts: process.env['TEST_LONG_PARTS']?.split(',') as PartName[] | undefined,
  seed: Number(process.env['TEST_LONG_SEED'] ?? 1),
  notes: process.env['TEST_LONG_NOTES'],
};

/** Called once in the process of a part, when its turn has come. */
export function beginPart(name: PartName): Part {
  const beganMs = Date.now();
  const timeMs = timeOf(name, asked.parts ?? [name], asked.endMs - beganMs);
  let present = { text: (): string => 'begins', seed: asked.seed };
  let notedMs = 0;
  const leftMs = (): number => Math.max(0, beganMs + timeMs - Date.now());
  const write = (note: Note): void => void (asked.notes !== undefined && writeNote(asked.notes, note));

  function noteProgress(): void {
    notedMs = Date.now();
    write({ kind: 'progress', part: name, text: present.text(), seed: present.seed });
  }

  // For those who wait. Others keep the thread to themselves, and are noted when they say what they do.
  setInterval(noteProgress, noteEveryMs).unref();
  noteProgress();

  return {
    seed: asked.seed,
    timeMs,
    leftMs,
    hasTimeFor: (milliseconds) => milliseconds < leftMs(),
    doing(what, seed = asked.seed) {
      present = { text: typeof what === 'string' ? () => what : what, seed };
      if (Date.now() - notedMs >= noteEveryMs) noteProgress();
    },
    found: (finding) => write({ kind: 'finding', part: name, seed: asked.seed, ...finding }),
    did(what, times, full = parts[name].full) {
      if (times < full) write({ kind: 'cut short', part: name, what, times, full });
    },
  };
}

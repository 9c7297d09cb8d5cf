// The event stream: what happened elsewhere makes the open pages read again, at most once a second.
import { eventTypes } from '#contracts/audit.ts';
import type { Area } from './queries.ts';

/** As much of an EventSource as is used here. */
export interface EventStream {
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onerror: ((event: Event) => void) | null;
  addEventListener(type: string, heard: (event: MessageEvent<string>) => void): void;
  close(): void;
}

export type LiveState = 'connecting' | 'live' | 'retrying' | 'paused';

export interface FollowOptions {
  open(): EventStream;
  /** Areas whose data may have changed. */
  onChange(areas: ReadonlySet<Area>): void;
  onState(state: LiveState): void;
  readonly document: Pick<Document, 'hidden' | 'addEventListener' | 'removeEventListener'>;
  readonly random: () => number;
  readonly nowMs: () => number;
}

const closed = 2;
const paceMs = 1000;
const longestPauseMs = 30_000;
/** A machine that was asleep misses beats; its stream may be dead without anybody having said so. */
const beatMs = 5_000;
const asleepMs = 20_000;
const everything: readonly Area[] = ['devices', 'approvals', 'audit'];

/**
 * Follows the stream while the page is visible.
 *
 * The browser itself reconnects a broken stream and sends Last-Event-ID. A stream that was refused, and one that was
 * left while the page was hidden or the machine asleep, is opened anew, and everything is read again, since its id is lost.
 *
 * @returns a function that ends it
 */
export function followEvents({ open, onChange, onState, document, random, nowMs }: FollowOptions): () => void {
  let stream: EventStream | null = null;
  let failures = 0;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let flush: ReturnType<typeof setTimeout> | undefined;
  let lastFlushMs = 0;
  const changed = new Set<Area>();

  function note(areas: Iterable<Area>): void {
    for (const area of areas) changed.add(area);
    flush ??= setTimeout(
      () => {
        flush = undefined;
        lastFlushMs = performance.now();
        const areasNow = new Set(changed);
        changed.clear();
        onChange(areasNow);
      },
      Math.max(0, lastFlushMs + paceMs - performance.now()),
    );
  }

  function start(): void {
    const current = open();
    stream = current;
    current.onopen = () => {
      failures = 0;
      onState('live');
      note(everything);
    };
    current.onerror = () => {
      onState('retrying');
      if (current.readyState !== closed) return;
      stop();
      failures += 1;
      const pauseMs = Math.min(longestPauseMs, 1000 * 2 ** (failures - 1)) * (0.5 + random() / 2);
      retry = setTimeout(start, pauseMs);
    };
    for (const type of ['message', ...eventTypes]) current.addEventListener(type, (event) => note(areasOf(event)));
  }

  function stop(): void {
    clearTimeout(retry);
    stream?.close();
    stream = null;
  }

  function visibilityChanged(): void {
    stop();
    if (document.hidden) onState('paused');
    else {
      onState('connecting');
      start();
    }
  }

  let beatAtMs = nowMs();
  const beating = setInterval(() => {
    const hasSlept = nowMs() - beatAtMs > asleepMs;
    beatAtMs = nowMs();
    if (hasSlept && !document.hidden) visibilityChanged();
  }, beatMs);

  document.addEventListener('visibilitychange', visibilityChanged);
  visibilityChanged();
  return () => {
    document.removeEventListener('visibilitychange', visibilityChanged);
    clearTimeout(flush);
    clearInterval(beating);
    stop();
  };
}

/** Devices and approvals show each other, and everything is audited. */
function areasOf(event: Pick<MessageEvent<string>, 'type' | 'data'>): readonly Area[] {
  const type = event.type === 'message' ? typeInside(event.data) : event.type;
  return /^(device|approval)\./.test(type)
    ? everything
    : type.startsWith('audit.auth.')
      ? ['audit', 'sessions']
      : ['audit'];
}

function typeInside(data: string): string {
  try {
    const { type } = JSON.parse(data) as { type?: unknown };
    return typeof type === 'string' ? type : '';
  } catch {
    return '';
  }
}

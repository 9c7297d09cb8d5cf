// Heartbeats to Temporal while an activity works or waits, so that it is noticed within seconds when its worker is gone.
import { heartbeat } from '@temporalio/activity';

/** Well within the heartbeat time-outs in `workflows/`. */
const beatMs = 1_000;

export async function beating<T>(work: () => Promise<T>): Promise<T> {
  const beat = setInterval(() => heartbeat(), beatMs);
  try {
    return await work();
  } finally {
    clearInterval(beat);
  }
}

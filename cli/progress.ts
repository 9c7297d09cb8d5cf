// What goes on, said to people once something takes longer than they expect.
import type { CliContext } from './context.ts';

const patienceMs = 1_000;

/** Does `work`, and says how far it is; nothing when it is done within a second. */
export async function withProgress<T>(
  context: CliContext,
  what: string,
  work: (say: (text: string) => void) => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  let text = what;
  let shown = false;
  const show = () => {
    shown = true;
    context.terminal.progress(text);
  };
  context.pause(patienceMs, done.signal).then(show, () => undefined);
  try {
    return await work((next) => {
      text = next;
      if (shown) show();
    });
  } finally {
    done.abort();
    if (shown) context.terminal.progress(null);
  }
}

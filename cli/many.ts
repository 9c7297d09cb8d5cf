// One act on several devices: named one after the other, or one a line on standard input. One that fails stops no other.
import type { Command } from 'commander';
import { ApiProblem } from '#client/api-problem.ts';
import { isDeviceId } from '#contracts/ids.ts';
import { globalsOf, present, type CliContext } from './context.ts';
import { CliError, describeFailure, failureObject, failureOf, wrongUsage } from './failure.ts';
import { withProgress } from './progress.ts';

const mostAtOnce = 1_000;

/** The ids that were named, each once; `-` stands for those on standard input. */
export async function readIds(context: CliContext, words: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(
    words.map(async (word) => (word === '-' ? (await context.terminal.readInput()).split(/\s+/) : [word])),
  );
  const ids = [...new Set(lists.flat().filter((id) => id !== ''))];
  const wrong = ids.find((id) => !isDeviceId(id));
  if (wrong !== undefined) throw wrongUsage(`${wrong} is no device id.`, 'Nothing was done.');
  if (ids.length === 0) throw wrongUsage('No device is named.', 'Name them, or say - and write their ids, one a line.');
  if (ids.length > mostAtOnce) throw wrongUsage(`More than ${mostAtOnce} devices are named.`, 'Nothing was done.');
  return ids;
}

/** Does `work` for each id and tells what came of it; fails in the end if one of them did. */
export async function forEachId<T>(
  context: CliContext,
  command: Command,
  ids: readonly string[],
  act: { readonly work: (id: string) => Promise<T>; readonly tell: (result: T) => void },
): Promise<void> {
  const [only] = ids;
  if (ids.length === 1 && only !== undefined) return present(context, command, await act.work(only), act.tell);
  const json = globalsOf(command).json === true;
  const items: object[] = [];
  let failed = 0;
  await withProgress(context, `0 of ${ids.length}`, async (say) => {
    for (const [index, id] of ids.entries()) {
      try {
        const result = await act.work(id);
        items.push({ id, result, error: null });
        if (!json) act.tell(result);
      } catch (error) {
        const failure = failureOf(error);
        if (failure === null) throw error;
        failed += 1;
        items.push({ id, result: null, ...failureObject(failure) });
        if (!json) context.terminal.talk(`${id}: ${describeFailure(failure)}`);
        // Whoever cannot sign in or reach the API for this one cannot for the next.
        if (endsAll(error)) {
          failed += ids.length - index - 1;
          break;
        }
      }
      say(`${index + 1} of ${ids.length}`);
    }
  });
  if (json) present(context, command, { items }, () => undefined);
  if (failed > 0) {
    throw new CliError(`${failed} of ${ids.length} devices were left as they were, or it is not known.`, {
      advice: 'The command may be repeated for them.',
    });
  }
}

const endsAll = (error: unknown): boolean =>
  error instanceof ApiProblem && (error.status === 0 || error.status === 401 || error.code === 'auth.forbidden');

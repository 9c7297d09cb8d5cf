// sentinel audit accept-restore: says, where the checkpoints are, that the database was restored to before the newest of them.
import type { Command } from 'commander';
import { confirmIfAsked } from './confirm.ts';
import { homeOf, present, settingsOf, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError } from './failure.ts';
import { longTime } from './when.ts';

export function addAcceptRestoreCommand(audit: Command, context: CliContext): void {
  const accept = audit
    .command('accept-restore')
    .description('accept, on the sealer’s machine, that the database was restored to before the newest checkpoint')
    .option('-y, --yes', 'do not ask')
    .action(async ({ yes }: { yes?: boolean }, command: Command) => {
      const files = await import('#store/checkpoint-files.ts');
      const folder = files.checkpointFolder({ ...settingsOf(context), SENTINEL_HOME: homeOf(context).directory });
      const newest = await newestCheckpoint(folder, files.readCheckpointFiles);
      await confirmIfAsked(context.terminal, {
        question: `Accept that the database no longer has what was signed by ${longTime(context, newest.at)}?`,
        yes,
      });
      await files.acceptRestore(folder, { checkpoint: newest.id, at: context.clock.now().toISOString() });
      present(context, command, { checkpoint: newest.id, at: newest.at }, () =>
        context.terminal.talk('Accepted. The sealer goes on behind the numbers that were signed; keep the checkpoint.'),
      );
    });
  withExamples(accept, ['audit accept-restore --yes']);
}

/** As the file says it; the sealer is who verifies its signature. */
async function newestCheckpoint(
  folder: string,
  read: (folder: string, limit: number) => AsyncIterable<{ readonly envelope: unknown }>,
): Promise<{ readonly id: string; readonly at: string }> {
  const advice = 'Run this where the sealer runs, with its settings.';
  try {
    for await (const { envelope } of read(folder, 1)) {
      const { id, at } = (envelope as { payload?: { id?: unknown; at?: unknown } } | null)?.payload ?? {};
      if (typeof id === 'string' && typeof at === 'string') return { id, at };
    }
  } catch (cause) {
    throw new CliError(`The checkpoints in ${folder} cannot be read.`, { advice, cause });
  }
  throw new CliError(`There is no checkpoint in ${folder}.`, { advice });
}

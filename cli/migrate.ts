// sentinel migrate: brings the database to the schema of this version.
import type { Command } from 'commander';
import { homeOf, present, settingsOf, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError } from './failure.ts';

export function addMigrateCommand(program: Command, context: CliContext): void {
  const migrate = program
    .command('migrate')
    .description('bring the database to the schema of this version')
    .action(async (_options: object, command: Command) => {
      const url = settingsOf(context).SENTINEL_DATABASE_URL ?? (await homeOf(context).instance())?.database_url;
      if (url === undefined) {
        throw new CliError('There is no database to migrate.', {
          advice: 'Set SENTINEL_DATABASE_URL to the owner’s address of it, or start Sentinel here with npm start.',
        });
      }
      const store = await import('#store/migrate.ts');
      const result = await store.migrate(url);
      present(context, command, result, ({ applied }) => {
        for (const name of applied) context.terminal.data(name);
        context.terminal.talk(applied.length === 0 ? 'Nothing to do.' : `Migrations applied: ${applied.length}.`);
      });
    });
  withExamples(migrate, ['migrate']);
}

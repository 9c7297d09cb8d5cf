// sentinel audit: read the trail, and have it verified.
import { Option, type Command } from 'commander';
import type { AuditEvent, AuditListQuery } from '#contracts/http/audit.ts';
import { auditCategories, outcomes } from '#contracts/states.ts';
import { addAcceptRestoreCommand } from './accept-restore.ts';
import { withClient } from './connection.ts';
import { present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError } from './failure.ts';
import { presentPage, readPages, withPageOptions, type PageOptions } from './pages.ts';
import { withProgress } from './progress.ts';
import { facts, table } from './table.ts';
import { watching } from './watch.ts';
import { instantOf, longTime, stamp } from './when.ts';
import { stateCell } from './words.ts';

interface ListOptions extends PageOptions {
  readonly category?: NonNullable<AuditListQuery['category']>;
  readonly action?: string;
  readonly actorId?: string;
  readonly subjectKind?: string;
  readonly subjectId?: string;
  readonly outcome?: NonNullable<AuditListQuery['outcome']>;
  readonly since?: string;
  readonly until?: string;
  readonly oldest?: boolean;
}

export function addAuditCommands(program: Command, context: CliContext): void {
  const audit = program.command('audit').description('the audit trail and its integrity');

  const list = withPageOptions(audit.command('list').description('list events, newest first'))
    .addOption(new Option('--category <category>', 'of this category').choices(auditCategories))
    .option('--action <action>', 'with this action')
    .option('--actor, --actor-id <id>', 'by this person, device or part')
    .option('--subject-kind <kind>', 'about something of this kind')
    .option('--subject, --subject-id <id>', 'about this')
    .addOption(new Option('--outcome <outcome>', 'with this outcome').choices(outcomes))
    .option('--since <time>', 'not before this time (RFC 3339)')
    .option('--until <time>', 'before this time (RFC 3339)')
    .option('--oldest', 'oldest first')
    .action((options: ListOptions, command: Command) =>
      watching(context, command, async (view) => {
        const query = queryOf(options);
        const page = await withClient(view, command, (client) =>
          readPages(view, options, (position) => client.audit.list({ ...position, ...query })),
        );
        presentPage(view, command, page, {
          none: 'No events.',
          id: ({ sequence }) => String(sequence),
          rows: (items) => listEvents(view, items),
        });
      }),
    );
  withExamples(list, [
    'audit list --subject lab-1',
    'audit list --outcome refused --since 2026-01-31T12:00:00Z',
    'audit list --watch | tee events.tsv',
  ]);

  const verify = audit
    .command('verify')
    .description('verify hashes, links and checkpoints; exit code 1 when something is broken')
    .option('--full', 'from the very first event, instead of the last trusted checkpoint')
    .action(async (options: { full?: boolean }, command: Command) => {
      const report = await withProgress(context, 'Verifying the audit trail …', () =>
        withClient(context, command, (client) => client.audit.integrity(options.full ? { full: true } : {})),
      );
      present(context, command, report, () => {
        const { checkpoint } = report;
        facts(context.terminal, [
          ['Valid', stateCell(String(report.valid))],
          ['First broken', report.first_broken_sequence === null ? null : String(report.first_broken_sequence)],
          ['Reason', report.reason],
          ['Checked', `${report.checked} events, from ${report.verified_from} to ${report.head_sequence}`],
          ['Not sealed yet', String(report.unsealed)],
          ['Checkpoint', checkpoint && `${checkpoint.sequence}, ${longTime(context, checkpoint.at)}`],
          ['  key', checkpoint && checkpoint.key_id],
        ]);
      });
      if (!report.valid) {
        throw new CliError('The audit trail is not valid.', {
          advice: 'Keep database and checkpoints as they are, and compare them with a copy from elsewhere.',
        });
      }
    });
  withExamples(verify, ['audit verify', 'audit verify --full --json']);

  addAcceptRestoreCommand(audit, context);
}

function listEvents(context: CliContext, events: readonly AuditEvent[]): void {
  table(
    context.terminal,
    ['sequence', 'when', 'action', 'outcome', 'actor', 'subject', 'request'],
    events.map((event) => [
      String(event.sequence),
      stamp(event.occurred_at),
      event.action,
      stateCell(event.outcome),
      `${event.actor.kind} ${event.actor.id}`,
      `${event.subject.kind} ${event.subject.id}`,
      event.request_id ?? '',
    ]),
    { spare: ['request', 'outcome', 'actor'] },
  );
}

function queryOf(options: ListOptions): AuditListQuery {
  return {
    ...(options.category === undefined ? {} : { category: options.category }),
    ...(options.action === undefined ? {} : { action: options.action }),
    ...(options.actorId === undefined ? {} : { actor_id: options.actorId }),
    ...(options.subjectKind === undefined ? {} : { subject_kind: options.subjectKind }),
    ...(options.subjectId === undefined ? {} : { subject_id: options.subjectId }),
    ...(options.outcome === undefined ? {} : { outcome: options.outcome }),
    ...(options.since === undefined ? {} : { since: instantOf(options.since) }),
    ...(options.until === undefined ? {} : { until: instantOf(options.until) }),
    ...(options.oldest ? { order: 'oldest' as const } : {}),
  };
}

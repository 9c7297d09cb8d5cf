// sentinel approval: what waits for people, and voting on it.
import { Option, type Command } from 'commander';
import type { ApprovalListQuery } from '#contracts/http/approvals.ts';
import { approvalKinds, approvalStates } from '#contracts/states.ts';
import { withClient } from './connection.ts';
import { globalsOf, present, type CliContext } from './context.ts';
import { readPages, tellOfMore, withPageOptions, type PageOptions } from './pages.ts';
import { reviewBody, showApproval, type ReviewOptions } from './review.ts';
import { table } from './table.ts';
import { relative } from './when.ts';
import { stateCell } from './words.ts';

interface ListOptions extends PageOptions {
  readonly state: NonNullable<ApprovalListQuery['state']> | 'any';
  readonly kind?: NonNullable<ApprovalListQuery['kind']>;
  readonly subject?: string;
}

export function addApprovalCommands(program: Command, context: CliContext): void {
  const approval = program.command('approval').description('what waits for people, and their votes');

  withPageOptions(approval.command('list').description('list approvals; the open ones unless told otherwise'))
    .addOption(new Option('--state <state>', 'in this state').choices([...approvalStates, 'any']).default('open'))
    .addOption(new Option('--kind <kind>', 'of this kind').choices(approvalKinds))
    .option('--subject <id>', 'about this device')
    .action(async (options: ListOptions, command: Command) => {
      const page = await withClient(context, command, (client) =>
        readPages(options, (position) =>
          client.approvals.list({
            ...position,
            ...(options.state === 'any' ? {} : { state: options.state }),
            ...(options.kind === undefined ? {} : { kind: options.kind }),
            ...(options.subject === undefined ? {} : { subject_id: options.subject }),
          }),
        ),
      );
      present(context, command, page, ({ items }) => {
        const now = context.clock.now();
        if (items.length === 0) context.terminal.talk('Nothing waits here.');
        else {
          table(
            context.terminal,
            ['id', 'kind', 'subject', 'state', 'approvals', 'opened', 'expires'],
            items.map((item) => [
              item.id,
              item.kind,
              item.subject.id,
              stateCell(item.state),
              `${item.votes.filter(({ decision }) => decision === 'approve').length}/${item.required_approvals}`,
              relative(item.opened_at, now),
              item.closed_at === null ? relative(item.expires_at, now) : '',
            ]),
          );
        }
        tellOfMore(context, page);
      });
    });

  approval
    .command('show <id>')
    .description('show one approval: what exactly, who voted, how it ended')
    .action(async (id: string, _options: object, command: Command) => {
      const found = await withClient(context, command, (client) => client.approvals.get(id));
      present(context, command, found, (item) => showApproval(context, item));
    });

  for (const decision of ['approve', 'reject'] as const) {
    const vote = approval
      .command(`${decision} <id>`)
      .description(`vote to ${decision} what is shown`)
      .option('--reason <text>', 'why')
      .option('--digest <digest>', 'vote only if this is still what is up for approval')
      .option('--yes', 'do not ask');
    vote.action(async (id: string, options: ReviewOptions, command: Command) => {
      const after = await withClient(context, command, async (client) => {
        const before = await client.approvals.get(id);
        if (!globalsOf(command).json) showApproval(context, before);
        return client.approvals.review(id, await reviewBody(context, before, decision, options));
      });
      present(context, command, after, ({ state, votes, required_approvals: required }) => {
        const approvals = votes.filter((vote) => vote.decision === 'approve').length;
        context.terminal.talk(`Voted. The approval is ${state}, with ${approvals} of ${required} approvals.`);
      });
    });
  }
}

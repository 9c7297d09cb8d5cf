// sentinel approval: what waits for people, and voting on it.
import { Option, type Command } from 'commander';
import type { Approval, ApprovalListQuery } from '#contracts/http/approvals.ts';
import { approvalKinds, approvalStates } from '#contracts/states.ts';
import { withClient } from './connection.ts';
import { globalsOf, present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { presentPage, readPages, withPageOptions, type PageOptions } from './pages.ts';
import { reviewBody, showApproval, type ReviewOptions } from './review.ts';
import { table } from './table.ts';
import { watching, withWatch } from './watch.ts';
import { shortTime } from './when.ts';
import { stateCell } from './words.ts';

interface ListOptions extends PageOptions {
  readonly state: NonNullable<ApprovalListQuery['state']> | 'any';
  readonly kind?: NonNullable<ApprovalListQuery['kind']>;
  readonly subjectId?: string;
}

export function addApprovalCommands(program: Command, context: CliContext): void {
  const approval = program.command('approval').description('what waits for people, and their votes');

  const list = withPageOptions(approval.command('list'))
    .description('list approvals; the open ones unless told otherwise')
    .addOption(new Option('--state <state>', 'in this state').choices([...approvalStates, 'any']).default('open'))
    .addOption(new Option('--kind <kind>', 'of this kind').choices(approvalKinds))
    .option('--subject, --subject-id <id>', 'about this device')
    .action((options: ListOptions, command: Command) =>
      watching(context, command, async (view) => {
        const page = await withClient(view, command, (client) =>
          readPages(view, options, (position) =>
            client.approvals.list({
              ...position,
              ...(options.state === 'any' ? {} : { state: options.state }),
              ...(options.kind === undefined ? {} : { kind: options.kind }),
              ...(options.subjectId === undefined ? {} : { subject_id: options.subjectId }),
            }),
          ),
        );
        presentPage(view, command, page, {
          none: 'Nothing waits here.',
          id: ({ id }) => id,
          rows: (items) => listApprovals(view, items),
        });
      }),
    );
  withExamples(list, ['approval list', 'approval list --state any --subject lab-1', 'approval list --watch']);

  const show = withWatch(approval.command('show <approval_id>'))
    .description('show one approval: what exactly, who voted, how it ended')
    .action((id: string, _options: object, command: Command) =>
      watching(context, command, async (view) => {
        await withClient(view, command, async (client, target) => {
          const found = await client.approvals.get(id);
          present(view, command, found, (item) => showApproval(view, item, target));
        });
      }),
    );
  withExamples(show, ['approval show 0190b6a0-0000-7000-8000-000000000001']);

  for (const decision of ['approve', 'reject'] as const) {
    const vote = approval
      .command(`${decision} <approval_id>`)
      .description(`vote to ${decision} what is shown`)
      .option('--reason <text>', 'why')
      .option('--digest <digest>', 'vote only if this is still what is up for approval')
      .option('--yes', 'do not ask');
    vote.action(async (id: string, options: ReviewOptions, command: Command) => {
      const after = await withClient(context, command, async (client, target) => {
        const before = await client.approvals.get(id);
        if (!globalsOf(command).json) showApproval(context, before, target);
        return client.approvals.review(id, await reviewBody(context, before, decision, options));
      });
      present(context, command, after, ({ state, votes, required_approvals: required }) => {
        const approvals = votes.filter((vote) => vote.decision === 'approve').length;
        context.terminal.talk(`Voted. The approval is ${state}, with ${approvals} of ${required} approvals.`);
      });
    });
    withExamples(vote, [`approval ${decision} 0190b6a0-0000-7000-8000-000000000001 --reason "seen in person"`]);
  }
}

function listApprovals(context: CliContext, approvals: readonly Approval[]): void {
  table(
    context.terminal,
    ['id', 'kind', 'subject', 'state', 'approvals', 'opened', 'expires'],
    approvals.map((item) => [
      item.id,
      item.kind,
      item.subject.id,
      stateCell(item.state),
      `${item.votes.filter(({ decision }) => decision === 'approve').length}/${item.required_approvals}`,
      shortTime(context, item.opened_at),
      item.closed_at === null ? shortTime(context, item.expires_at) : '',
    ]),
    { spare: ['opened', 'expires', 'kind', 'approvals'] },
  );
}

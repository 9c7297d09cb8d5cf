// sentinel device attestation: where a device stands with its evidence, what it came to, and a verdict computed again.
import type { Command } from 'commander';
import type { AttestationStatus, AttestationVerdict, VerdictReplay } from '#contracts/http/attestation.ts';
import { withClient } from './connection.ts';
import { present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError } from './failure.ts';
import { presentPage, readPages, withPageOptions, type PageOptions } from './pages.ts';
import { facts, table, type Cell } from './table.ts';
import { watching, withWatch } from './watch.ts';
import { instantOf, longTime, shortTime } from './when.ts';
import { stateCell } from './words.ts';

export function addAttestationCommands(device: Command, context: CliContext): void {
  const attestation = device
    .command('attestation')
    .description('the evidence of a device: where it stands, and what its answers came to');

  const show = withWatch(attestation.command('show <device_id>'))
    .description('where a device stands, what it is bound to, and which registers are approved for it')
    .action((id: string, _options: object, command: Command) =>
      watching(context, command, async (view) => {
        const found = await withClient(view, command, (client) => client.devices.attestation(id));
        present(view, command, found, (item) => showStatus(view, item));
      }),
    );
  withExamples(show, ['device attestation show lab-1']);

  const verdicts = withPageOptions(attestation.command('verdicts <device_id>'))
    .description('what its evidence came to, newest first')
    .action((id: string, options: PageOptions, command: Command) =>
      watching(context, command, async (view) => {
        const page = await withClient(view, command, (client) =>
          readPages(view, options, (position) => client.devices.verdicts(id, position)),
        );
        presentPage(view, command, page, {
          none: 'No evidence was judged yet.',
          id: ({ verdict }) => String(verdict),
          rows: (items) => listVerdicts(view, items),
        });
      }),
    );
  withExamples(verdicts, ['device attestation verdicts lab-1 --limit 10']);

  const replay = attestation
    .command('replay <device_id>')
    .description('compute the verdict in force at a time again; exit code 1 when it comes out differently')
    .option('--at <time>', 'at this time (RFC 3339); now when absent')
    .action(async (id: string, options: { readonly at?: string }, command: Command) => {
      const query = options.at === undefined ? {} : { at: instantOf(options.at) };
      const found = await withClient(context, command, (client) => client.devices.replay(id, query));
      present(context, command, found, (item) => showReplay(context, item));
      if (!found.same) {
        throw new CliError(`Verdict ${found.verdict} of ${id} comes out differently.`, {
          advice: 'Verify the audit trail, and compare the database with a copy from elsewhere: sentinel audit verify',
        });
      }
    });
  withExamples(replay, [
    'device attestation replay lab-1',
    'device attestation replay lab-1 --at 2026-01-31T12:00:00Z --json',
  ]);
}

function showStatus(context: CliContext, status: AttestationStatus): void {
  const { standing, binding, registers, challenge } = status;
  facts(context.terminal, [
    ['Device', status.device_id],
    ['Attestation', stateCell(status.state)],
    ['Provider', status.provider],
    ['Required', status.required ? 'yes' : 'no'],
    ['Last evidence', standing && stateCell(standing.state)],
    [
      '  verdict',
      standing && `${standing.verdict}${standing.unrecorded === 0 ? '' : `, ${standing.unrecorded} more only counted`}`,
    ],
    [
      '  generation',
      standing && `${standing.generation}, confirmed ${standing.confirmed_generation?.toString() ?? 'none'}`,
    ],
    ['  key', standing && standing.key_id],
    ['  hardware', standing && standing.binding_id],
    ['  manufacturer', standing && standing.manufacturer],
    ['  verified', standing?.verified_at ? longTime(context, standing.verified_at) : null],
    ['  counts until', standing?.fresh_until ? longTime(context, standing.fresh_until) : null],
    ['  reason', standing && standing.reason],
    ['  detail', standing && standing.detail],
    ['Bound key', binding && binding.key_id],
    ['Bound hardware', binding && binding.binding_id],
    ...Object.entries(registers ?? {}).map(([bank, indexes]): [string, Cell] => [
      `Registers ${bank}`,
      indexes.join(', '),
    ]),
    ...status.baselines.flatMap(({ match_tags, pcrs }) =>
      Object.entries(pcrs).flatMap(([bank, values]) =>
        Object.entries(values).map(([register, approved]): [string, Cell] => [
          `  ${bank} ${register}`,
          `${approved.join(' or ')}${match_tags.length === 0 ? '' : ` (tags ${match_tags.join(', ')})`}`,
        ]),
      ),
    ),
    ['Challenge', challenge && `${challenge.provider}, expires ${longTime(context, challenge.expires_at)}`],
  ]);
}

function listVerdicts(context: CliContext, verdicts: readonly AttestationVerdict[]): void {
  table(
    context.terminal,
    ['verdict', 'when', 'outcome', 'generation', 'moved', 'only counted', 'reason', 'key'],
    verdicts.map((verdict) => [
      String(verdict.verdict),
      shortTime(context, verdict.at),
      stateCell(verdict.outcome),
      String(verdict.generation),
      verdict.changed ? 'yes' : '',
      verdict.unrecorded === 0 ? '' : String(verdict.unrecorded),
      verdict.reason ?? '',
      verdict.key_id ?? '',
    ]),
    { spare: ['key', 'moved', 'only counted', 'generation'] },
  );
}

function showReplay(context: CliContext, replay: VerdictReplay): void {
  const { stored, computed } = replay;
  const words = ({ outcome, reason }: VerdictReplay['stored']): string =>
    reason === null ? outcome : `${outcome}, ${reason}`;
  facts(context.terminal, [
    ['Device', replay.device_id],
    ['Verdict', String(replay.verdict)],
    ['Judged', longTime(context, replay.judged_at)],
    ['Stored', words(stored)],
    ['Computed', words(computed)],
    ['Same', stateCell(String(replay.same))],
    ['  differing', replay.differing.join(', ')],
    [
      'Evidence',
      `${replay.evidence_digest}${replay.evidence_digest_matches ? '' : ', which is not that of what is stored'}`,
    ],
    ['Rules', `${replay.basis_digest}${replay.basis_digest_matches ? '' : ', which is not that of what is stored'}`],
  ]);
}

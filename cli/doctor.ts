// sentinel doctor: lists where rows, actors, audit trail and denylist disagree, and has actors look again when asked to.
import type { Command } from 'commander';
import type { Client } from '#client/client.ts';
import { divergences } from '#contracts/divergences.ts';
import type { Divergence, HealBody } from '#contracts/http/doctor.ts';
import { withClient } from './connection.ts';
import { present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError } from './failure.ts';
import { withProgress } from './progress.ts';
import { table } from './table.ts';

interface Examination {
  readonly examined: number;
  readonly divergences: readonly Divergence[];
}

const pageSize = 100;
/** Subjects of one request. */
const healedAtOnce = 200;

export function addDoctorCommand(program: Command, context: CliContext): void {
  const doctor = program
    .command('doctor')
    .description('compare rows, actors, audit trail and denylist; exit code 1 when something disagrees')
    .option('--full', 'verify the audit trail from its start')
    .option('--heal', 'have the actors in question look again, which only ever lowers trust')
    .action(async (options: { full?: boolean; heal?: boolean }, command: Command) => {
      const found = await withProgress(context, 'Comparing …', () =>
        withClient(context, command, (client) => healed(client, options)),
      );
      present(context, command, found, () => {
        context.terminal.talk(`${found.examined} rows, actors and chains compared.`);
        if (found.divergences.length === 0) return context.terminal.talk('Nothing disagrees.');
        table(
          context.terminal,
          ['subject', 'kind', 'meaning', 'detail'],
          found.divergences.map(({ subject, kind, detail, heals }) => [
            `${subject.kind} ${subject.id}`,
            { text: kind, style: heals ? 'yellow' : 'red' },
            divergences[kind].meaning,
            detail,
          ]),
          { wrap: true },
        );
      });
      if (found.divergences.length > 0) throw new CliError(`${found.divergences.length} divergences.`, adviceOn(found));
    });
  withExamples(doctor, ['doctor', 'doctor --full --json', 'doctor --heal']);
}

/** What is left is what counts. */
async function healed(client: Client, { full, heal }: { full?: boolean; heal?: boolean }): Promise<Examination> {
  const found = await examine(client, full);
  const subjects = heal ? subjectsOf(found.divergences) : [];
  if (subjects.length === 0) return found;
  for (let from = 0; from < subjects.length; from += healedAtOnce)
    await client.doctor.heal({ subjects: subjects.slice(from, from + healedAtOnce) });
  // Each page looks several times before it calls something a divergence, so actors have time to answer.
  return await examine(client, full);
}

async function examine(client: Client, full = false): Promise<Examination> {
  const found: Divergence[] = [];
  let examined = 0;
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<Client['doctor']['examine']>> = await client.doctor.examine({
      limit: pageSize,
      ...(cursor === null ? {} : { cursor }),
      ...(full ? { full } : {}),
    });
    found.push(...page.items);
    examined += page.examined;
    cursor = page.next_cursor;
  } while (cursor !== null);
  return { examined, divergences: found };
}

function subjectsOf(found: readonly Divergence[]): HealBody['subjects'] {
  const subjects = found.flatMap(({ heals, subject: { kind, id } }) =>
    heals && (kind === 'device' || kind === 'approval') ? [{ kind, id } as const] : [],
  );
  return [...new Map(subjects.map((subject) => [`${subject.kind} ${subject.id}`, subject])).values()];
}

function adviceOn({ divergences: found }: Examination): { advice: string } {
  return {
    advice: found.some(({ heals }) => heals)
      ? 'sentinel doctor --heal has the actors look again. Runbooks: What sentinel doctor finds.'
      : 'Nothing of this cures itself. Runbooks: What sentinel doctor finds.',
  };
}

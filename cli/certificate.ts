// sentinel certificate: which certificates end when, and what has to be rotated.
import { Option, type Command } from 'commander';
import type { CertificateListQuery, CertificatePlan, ListedCertificate } from '#contracts/http/certificates.ts';
import { certificateRoles, planPeriods, rotationAdvice, type PlanPeriod } from '#contracts/states.ts';
import { withClient } from './connection.ts';
import { present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { presentPage, readPages, withPageOptions, type PageOptions } from './pages.ts';
import { table, type Cell } from './table.ts';
import { watching, withWatch } from './watch.ts';
import { instantOf, longTime } from './when.ts';
import { tierCell } from './words.ts';

interface ListOptions extends PageOptions {
  readonly rotation?: NonNullable<CertificateListQuery['rotation']>;
  readonly role?: NonNullable<CertificateListQuery['role']>;
  readonly expiringSoon?: boolean;
  readonly expired?: boolean;
  readonly search?: string;
  readonly from?: string;
  readonly before?: string;
}

export function addCertificateCommands(program: Command, context: CliContext): void {
  const certificate = program.command('certificate').description('certificates of devices, by when they end');

  const list = withPageOptions(
    certificate.command('list').description('list certificates, the one that ends first at the top'),
  )
    .addOption(new Option('--rotation <advice>', 'with this urgency').choices(rotationAdvice))
    .addOption(new Option('--role <role>', 'pinned, or under review').choices(certificateRoles))
    .option('--expiring-soon', 'only those that end soon')
    .option('--expired', 'only those that have ended')
    .option('--from <time>', 'ending at this time or later (RFC 3339)')
    .option('--before <time>', 'ending before this time')
    .option('--search <text>', 'with this in device, subject, serial number or fingerprint')
    .action((options: ListOptions, command: Command) =>
      watching(context, command, async (view) => {
        const query = queryOf(options);
        const page = await withClient(view, command, (client) =>
          readPages(view, options, (position) => client.certificates.list({ ...position, ...query })),
        );
        presentPage(view, command, page, {
          none: 'No certificates.',
          id: ({ device_id }) => device_id,
          rows: (items) => listCertificates(view, items),
        });
      }),
    );
  withExamples(list, ['certificate list', 'certificate list --rotation required', 'certificate list --expired --all']);

  const plan = withWatch(certificate.command('plan'))
    .description('how many pinned certificates end when, and what has to be rotated')
    .addOption(new Option('--by <period>', 'in weeks or months').choices(planPeriods).default('week'))
    .action(({ by }: { readonly by: PlanPeriod }, command: Command) =>
      watching(context, command, async (view) => {
        const found = await withClient(view, command, (client) => client.certificates.plan({ by }));
        present(view, command, found, (item) => showPlan(view, item));
      }),
    );
  withExamples(plan, ['certificate plan', 'certificate plan --by month --json']);
}

function queryOf({ rotation, role, expiringSoon, expired, search, from, before }: ListOptions): CertificateListQuery {
  return {
    ...(rotation === undefined ? {} : { rotation }),
    ...(role === undefined ? {} : { role }),
    ...(expiringSoon ? { expiring_soon: true } : {}),
    ...(expired ? { expired: true } : {}),
    ...(search === undefined ? {} : { search }),
    ...(from === undefined ? {} : { not_after_from: instantOf(from) }),
    ...(before === undefined ? {} : { not_after_before: instantOf(before) }),
  };
}

function listCertificates(context: CliContext, certificates: readonly ListedCertificate[]): void {
  table(
    context.terminal,
    ['device', 'ends', 'urgency', 'role', 'tier', 'serial number', 'fingerprint'],
    certificates.map((one) => [
      one.device_id,
      longTime(context, one.not_after),
      urgency(one),
      one.role,
      tierCell(one.trust_tier),
      one.serial_number,
      one.fingerprint_sha256,
    ]),
    { spare: ['fingerprint', 'serial number', 'role'] },
  );
}

function urgency({ revoked, expired, rotation }: ListedCertificate): Cell {
  if (revoked) return { text: 'revoked', style: 'red' };
  if (expired) return { text: 'expired', style: 'red' };
  if (rotation === 'none') return '';
  return { text: `rotation ${rotation}`, style: rotation === 'required' ? 'red' : 'yellow' };
}

/** Columns of a bar at most. */
const barLength = 24;

function showPlan(context: CliContext, plan: CertificatePlan): void {
  const { by, periods, certificates, expired, expiring_soon, rotation } = plan;
  const most = Math.max(1, ...periods.map((period) => period.certificates));
  // A picture is for people.
  const isDrawn = context.terminal.columns !== null;
  const bar = (count: number): string => '█'.repeat(Math.ceil((count / most) * barLength));
  table(
    context.terminal,
    [by, 'certificates', 'rotation required', 'recommended', ...(isDrawn ? [''] : [])],
    periods.map((period) => [
      periodName(period),
      String(period.certificates),
      { text: String(period.rotation.required), style: period.rotation.required > 0 ? 'red' : 'dim' },
      { text: String(period.rotation.recommended), style: period.rotation.recommended > 0 ? 'yellow' : 'dim' },
      ...(isDrawn ? [bar(period.certificates)] : []),
    ]),
    { spare: ['', 'recommended', 'rotation required'] },
  );
  context.terminal.talk(
    `${certificates} pinned: ${expired} expired, ${expiring_soon - expired} expiring soon; ` +
      `rotation required for ${rotation.required}, recommended for ${rotation.recommended}.`,
  );
}

/** The days of a period, both included, in UTC. */
function periodName({ from, before }: CertificatePlan['periods'][number]): string {
  if (from === null || before === null) return from === null ? 'expired' : `from ${from.slice(0, 10)}`;
  const last = new Date(Date.parse(before) - 1).toISOString();
  return `${from.slice(0, 10)} to ${last.slice(0, 10)}`;
}

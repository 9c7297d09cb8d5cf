// sentinel status: the whole installation on one screen.
import type { Command } from 'commander';
import { ApiProblem } from '#client/api-problem.ts';
import type { Client } from '#client/client.ts';
import { adviceOnCheck } from '#contracts/health-checks.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import type { Integrity } from '#contracts/http/audit.ts';
import type { CertificateList } from '#contracts/http/certificates.ts';
import type { DeviceCounts } from '#contracts/http/devices.ts';
import type { Ready } from '#contracts/http/health.ts';
import type { Instance } from '#contracts/instance.ts';
import { permissions } from '#contracts/permissions.ts';
import { findTarget, withClientOf, type Target } from './connection.ts';
import { homeOf, present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError } from './failure.ts';
import { withProgress } from './progress.ts';
import { facts, table, type Cell } from './table.ts';
import { watching, withWatch } from './watch.ts';
import { longTime, shortTime } from './when.ts';
import { stateCell } from './words.ts';

/** Lists are walked this far; beyond it the screen says "more than". */
const mostPages = 4;
const pageSize = 500;
/** As many of each kind are named; the rest is a number. */
const mostNamed = 5;
/** Verifying costs the server more than all the rest, so a screen that is watched does it less often. */
const verifyEveryMs = 30_000;

interface Count {
  readonly count: number;
  /** Whether counting stopped there. */
  readonly more: boolean;
}

interface Status {
  readonly url: string;
  readonly version: string;
  readonly instance: Omit<Instance, 'database_url' | 'admin_username' | 'admin_password_file'> | null;
  readonly ready: Ready;
  /** Why checks are not well; empty for who may not know. */
  readonly reasons: Readonly<Record<string, string>>;
  readonly signed_in: { readonly username: string; readonly roles: readonly string[] } | null;
  /** Of the devices that are in service. */
  readonly devices: DeviceCounts | null;
  /** The first to end. */
  readonly expiring_certificates: CertificateList | null;
  readonly open_approvals: (Count & { readonly first: readonly Approval[] }) | null;
  /** `null` too when the person may not have it verified. */
  readonly audit: Integrity | null;
}

export function addStatusCommand(program: Command, context: CliContext): void {
  const status = withWatch(program.command('status'))
    .description('the whole installation on one screen; exit code 1 when it is not ready')
    .action((options: { watch?: unknown }, command: Command) => {
      const audit = rarely(context);
      return watching(context, command, async (view) => {
        const target = await findTarget(view, command);
        const found = await withProgress(view, 'Asking …', () =>
          withClientOf(view, command, target, (client) => readStatus(view, client, target, audit)),
        );
        present(view, command, found, (value) => showStatus(view, value));
        // What is watched may get ready.
        if (found.ready.status === 'failed' && options.watch === undefined) {
          throw new CliError('The installation is not ready.', {
            advice: 'Mend the parts that failed, as it says there.',
          });
        }
      });
    });
  withExamples(status, ['status', 'status --watch', 'status --json']);
}

type ReadAudit = (client: Client) => Promise<Integrity>;

function rarely({ clock }: CliContext): ReadAudit {
  let last: { readonly at: number; readonly report: Integrity } | null = null;
  return async (client) => {
    const now = clock.now().getTime();
    if (last === null || now - last.at >= verifyEveryMs) last = { at: now, report: await client.audit.integrity() };
    return last.report;
  };
}

async function readStatus(context: CliContext, client: Client, target: Target, audit: ReadAudit): Promise<Status> {
  const [instance, ready, { version }] = await Promise.all([
    homeOf(context).instance(),
    client.health.ready(),
    client.health.live(),
  ]);
  const known = { url: target.url, version, instance: instance && publicPart(instance), ready, reasons: {} };
  const nothing = { signed_in: null, devices: null, expiring_certificates: null, open_approvals: null, audit: null };
  if (target.token === null) return { ...known, ...nothing };

  // First, since it says more about a sign-in that has ended than a database that is away does.
  const person = await ifPossible(client.admin.me());
  if (person === null) return { ...known, ...nothing };
  const [devices, expiring, approvals, report, why] = await Promise.all([
    ifPossible(client.devices.counts({ retired: false })),
    ifPossible(client.certificates.list({ expiring_soon: true, limit: mostNamed })),
    ifPossible(countPages((cursor) => client.approvals.list({ limit: pageSize, state: 'open', ...cursor }))),
    ifPossible(audit(client)),
    ready.status === 'ok' ? null : ifPossible(client.health.reasons()),
  ]);
  return {
    ...known,
    reasons: why?.reasons ?? {},
    signed_in: { username: person.username, roles: person.roles },
    devices,
    expiring_certificates: expiring,
    open_approvals: approvals && {
      count: approvals.items.length,
      more: approvals.more,
      first: approvals.items.toSorted((a, b) => a.expires_at.localeCompare(b.expires_at)).slice(0, mostNamed),
    },
    audit: report,
  };
}

/** `null` for what this person may not see, or what cannot be had while a part is away: the rest of the screen stays. */
async function ifPossible<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiProblem && (error.code === 'auth.forbidden' || error.status === 503)) return null;
    throw error;
  }
}

async function countPages<T>(
  read: (position: { cursor?: string }) => Promise<{ items: T[]; next_cursor: string | null }>,
): Promise<{ items: T[]; more: boolean }> {
  const items: T[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < mostPages; page += 1) {
    const answer: { items: T[]; next_cursor: string | null } = await read(cursor === null ? {} : { cursor });
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (cursor === null) return { items, more: false };
  }
  return { items, more: true };
}

/** Without what signs in: the file is private, this screen is shown to others. */
function publicPart(instance: Instance): Status['instance'] {
  const { api_url, console_url, temporal_address, temporal_namespace, temporal_ui_url, ca_file, pids } = instance;
  return { api_url, console_url, temporal_address, temporal_namespace, temporal_ui_url, ca_file, pids };
}

function showStatus(context: CliContext, status: Status): void {
  const { terminal } = context;
  const { instance, devices, expiring_certificates: expiring, open_approvals: approvals, audit } = status;
  const person = status.signed_in;
  facts(terminal, [
    ['Sentinel', `${status.version} at ${status.url}`],
    ['Ready', stateCell(status.ready.status)],
    ['Console', instance && instance.console_url],
    ['Temporal', instance && instance.temporal_ui_url],
    ['Authority', instance && instance.ca_file],
    ['Processes', instance && listed(Object.entries(instance.pids))],
    ['Signed in', person && `${person.username} (${person.roles.join(', ')})`],
    ['Devices', devices && [String(devices.matching), ...numbered(devices.trust_tier)].join(', ')],
    ['  liveness', devices && numbered(devices.liveness).join(', ')],
    ['Certificates', expiring && expiringText(expiring)],
    ...(expiring?.items ?? []).map(({ device_id: id, not_after: at, expired }): [string, Cell] => [
      '',
      { text: `${id} ${expired ? 'expired' : 'expires'} ${shortTime(context, at)}`, style: 'yellow' },
    ]),
    ['Open approvals', approvals && counted(approvals)],
    ['Audit', audit && auditCell(audit)],
    [
      '  checkpoint',
      audit?.checkpoint ? `${audit.checkpoint.sequence}, ${longTime(context, audit.checkpoint.at)}` : null,
    ],
  ]);
  if (approvals !== null && approvals.first.length > 0) {
    terminal.data('');
    table(
      terminal,
      ['waits', 'kind', 'approvals', 'awaits', 'expires', 'approval'],
      approvals.first.map((approval) => [
        approval.subject.id,
        approval.kind,
        `${approvedBy(approval).length}/${approval.required_approvals}`,
        awaited(approval),
        shortTime(context, approval.expires_at),
        approval.id,
      ]),
      { spare: ['approval', 'expires', 'kind'], wrap: true },
    );
    if (approvals.count > approvals.first.length) terminal.talk('All of them: sentinel approval list');
  }
  terminal.data('');
  table(
    terminal,
    ['check', 'status', 'detail', 'how to mend'],
    Object.entries(status.ready.checks).map(([name, check]) => [
      name,
      stateCell(check.status),
      status.reasons[name] === undefined ? check.detail : `${check.detail}. Why: ${status.reasons[name]}`,
      check.status === 'ok' ? '' : adviceOnCheck(name),
    ]),
    { spare: status.ready.status === 'ok' ? ['how to mend'] : [], wrap: true },
  );
  if (person === null) terminal.talk('Sign in to see devices and approvals: sentinel login');
}

function auditCell({ valid, reason, unsealed, head_sequence: head }: Integrity): Cell {
  if (!valid) return { text: `broken: ${reason ?? 'run sentinel audit verify'}`, style: 'red' };
  return {
    text: `valid, ${head} events sealed, ${unsealed} not sealed yet`,
    style: unsealed === 0 ? 'green' : 'yellow',
  };
}

const approvedBy = ({ votes }: Approval): string[] =>
  votes.filter(({ decision }) => decision === 'approve').map(({ by }) => by);

/** Who has to act: anybody who may vote and has not. */
function awaited(approval: Approval): string {
  const voters = approvedBy(approval);
  const anyone = `${[...permissions['identity.review'].roles, 'admin'].join(', ')}`;
  return voters.length === 0 ? anyone : `${anyone}; not ${voters.join(', ')}`;
}

function expiringText({ items, next_cursor: next }: CertificateList): string {
  if (items.length === 0) return 'none expires soon';
  return `${next === null ? items.length : `more than ${items.length}`} expire soon`;
}

const counted = ({ count, more }: Count): string => (more ? `more than ${count}` : String(count));

const numbered = (counts: Readonly<Record<string, number>>): string[] =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`);

const listed = (pairs: readonly (readonly [string, number])[]): string =>
  pairs.map(([name, value]) => `${name} ${value}`).join(', ');

// sentinel status: the whole installation on one screen.
import type { Command } from 'commander';
import type { Client } from '#client/client.ts';
import type { Ready } from '#contracts/http/health.ts';
import { trustTiers, type TrustTier } from '#contracts/states.ts';
import { findTarget, withClientOf, type Target } from './connection.ts';
import { homeOf, present, type CliContext } from './context.ts';
import { CliError } from './failure.ts';
import type { Instance } from '#contracts/instance.ts';
import { facts, table } from './table.ts';
import { stateCell } from './words.ts';

/** Lists are walked this far; beyond it the screen says "more than". */
const mostPages = 4;
const pageSize = 500;

interface Count {
  readonly count: number;
  /** Whether counting stopped there. */
  readonly more: boolean;
}

interface Status {
  readonly url: string;
  readonly instance: Omit<Instance, 'database_url' | 'admin_username' | 'admin_password_file'> | null;
  readonly ready: Ready;
  readonly signed_in: { readonly username: string; readonly roles: readonly string[] } | null;
  readonly devices: (Count & { readonly tiers: Partial<Record<TrustTier, number>>; readonly offline: number }) | null;
  readonly open_approvals: Count | null;
}

export function addStatusCommand(program: Command, context: CliContext): void {
  program
    .command('status')
    .description('the whole installation on one screen; exit code 1 when it is not ready')
    .action(async (_options: object, command: Command) => {
      const target = await findTarget(context, command);
      const status = await withClientOf(context, command, target, (client) => readStatus(context, client, target));
      present(context, command, status, (value) => showStatus(context, value));
      if (status.ready.status === 'failed') {
        throw new CliError('The installation is not ready.', { advice: 'Look at the checks that failed.' });
      }
    });
}

async function readStatus(context: CliContext, client: Client, target: Target): Promise<Status> {
  const instance = await homeOf(context).instance();
  const ready = await client.health.ready();
  const withoutPeople = { url: target.url, instance: instance && publicPart(instance), ready };
  if (target.token === null) return { ...withoutPeople, signed_in: null, devices: null, open_approvals: null };

  const { username, roles } = await client.admin.me();
  const [devices, approvals] = await Promise.all([
    countPages((cursor) => client.devices.list({ limit: pageSize, ...cursor })),
    countPages((cursor) => client.approvals.list({ limit: pageSize, state: 'open', ...cursor })),
  ]);
  return {
    ...withoutPeople,
    signed_in: { username, roles },
    devices: {
      count: devices.items.length,
      more: devices.more,
      tiers: Object.fromEntries(
        trustTiers
          .map((tier) => [tier, devices.items.filter((device) => device.trust_tier === tier).length] as const)
          .filter(([, count]) => count > 0),
      ),
      offline: devices.items.filter(({ liveness }) => liveness !== 'online').length,
    },
    open_approvals: { count: approvals.items.length, more: approvals.more },
  };
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
  const { instance, devices, open_approvals: approvals, signed_in: person } = status;
  const tiers = Object.entries(devices?.tiers ?? {}).map(([tier, count]) => `${count} ${tier}`);
  facts(context.terminal, [
    ['API', status.url],
    ['Ready', stateCell(status.ready.status)],
    ['Console', instance && instance.console_url],
    ['Temporal', instance && instance.temporal_ui_url],
    ['Authority', instance && instance.ca_file],
    [
      'Processes',
      instance &&
        Object.entries(instance.pids)
          .map(([name, pid]) => `${name} ${pid}`)
          .join(', '),
    ],
    ['Signed in', person && `${person.username} (${person.roles.join(', ')})`],
    ['Devices', devices && [`${counted(devices)}`, ...tiers, `${devices.offline} not online`].join(', ')],
    ['Open approvals', approvals && counted(approvals)],
  ]);
  context.terminal.data('');
  table(
    context.terminal,
    ['check', 'status', 'detail'],
    Object.entries(status.ready.checks).map(([name, check]) => [name, stateCell(check.status), check.detail]),
  );
  if (person === null) context.terminal.talk('Sign in to see devices and approvals: sentinel login');
}

const counted = ({ count, more }: Count): string => (more ? `more than ${count}` : String(count));

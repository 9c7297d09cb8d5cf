// sentinel device: look at devices, decide about their identity, take trust away.
import { Option, type Command } from 'commander';
import type { Client } from '#client/client.ts';
import type { Device, DeviceListQuery } from '#contracts/http/devices.ts';
import { deviceApprovalStates, livenessStates, trustTiers } from '#contracts/states.ts';
import { confirmByName } from './confirm.ts';
import { withClient } from './connection.ts';
import { globalsOf, present, type CliContext } from './context.ts';
import { showDevice, showExplanation } from './device-view.ts';
import { CliError } from './failure.ts';
import { readPages, tellOfMore, withPageOptions, type PageOptions } from './pages.ts';
import { reviewBody, showApproval, type ReviewOptions } from './review.ts';
import { table } from './table.ts';
import { relative } from './when.ts';
import { stateCell, tierCell } from './words.ts';

interface ListOptions extends PageOptions {
  readonly state?: NonNullable<DeviceListQuery['approval_state']>;
  readonly tier?: NonNullable<DeviceListQuery['trust_tier']>;
  readonly liveness?: NonNullable<DeviceListQuery['liveness']>;
  readonly tag?: string;
  readonly search?: string;
  readonly pending?: boolean;
}

interface ActOptions {
  readonly reason?: string;
  readonly yes?: boolean;
}

/** Acts that take something from a device: each asks for its name. */
const acts = {
  revoke: {
    description: 'revoke the certificate, for ever; a new one opens a rotation review',
    // The certificate that was shown, so that one pinned in between is not hit instead.
    run: (client: Client, id: string, reason: { reason?: string }, shown: Device | null) =>
      client.devices.revoke(id, {
        ...reason,
        ...(shown?.certificate ? { fingerprint_sha256: shown.certificate.fingerprint_sha256 } : {}),
      }),
  },
  reset: {
    description: 'clear pin and counter, and start again as pending',
    run: (client: Client, id: string, reason: { reason?: string }) => client.devices.reset(id, reason),
  },
  retire: {
    description: 'take the device out of service',
    run: (client: Client, id: string, reason: { reason?: string }) => client.devices.retire(id, reason),
  },
} as const;

export function addDeviceCommands(program: Command, context: CliContext): void {
  const device = program.command('device').description('devices, their identity and their trust');

  withPageOptions(device.command('list').description('list devices'))
    .addOption(new Option('--state <state>', 'with this approval state').choices(deviceApprovalStates))
    .addOption(new Option('--tier <tier>', 'with this trust tier').choices(trustTiers))
    .addOption(new Option('--liveness <liveness>', 'with this liveness').choices(livenessStates))
    .option('--tag <tag>', 'with this tag')
    .option('--search <text>', 'with this in id or host name')
    .option('--pending', 'with a review that waits')
    .action(async (options: ListOptions, command: Command) => {
      const query = queryOf(options);
      const page = await withClient(context, command, (client) =>
        readPages(options, (position) => client.devices.list({ ...position, ...query })),
      );
      present(context, command, page, ({ items }) => {
        if (items.length === 0) context.terminal.talk('No devices.');
        else listDevices(context, items);
        tellOfMore(context, page);
      });
    });

  device
    .command('show <device_id>')
    .description('show everything about a device')
    .action(async (id: string, _options: object, command: Command) => {
      const found = await withClient(context, command, (client) => client.devices.get(id));
      present(context, command, found, (item) => showDevice(context, item));
    });

  device
    .command('explain <device_id>')
    .description('why a device has its tier, and what would change it')
    .action(async (id: string, _options: object, command: Command) => {
      const found = await withClient(context, command, (client) => client.devices.explanation(id));
      present(context, command, found, (item) => showExplanation(context, item));
    });

  withPageOptions(device.command('history <device_id>').description('what happened to a device, newest first')).action(
    async (id: string, options: PageOptions, command: Command) => {
      const page = await withClient(context, command, (client) =>
        readPages(options, (position) => client.devices.history(id, position)),
      );
      present(context, command, page, ({ items }) => {
        const now = context.clock.now();
        table(
          context.terminal,
          ['revision', 'when', 'event', 'by', 'from', 'to'],
          items.map((entry) => [
            `${entry.epoch}.${entry.revision}`,
            relative(entry.at, now),
            entry.event,
            `${entry.by.kind} ${entry.by.id}`,
            entry.from_state ?? '',
            entry.to_state,
          ]),
        );
        tellOfMore(context, page);
      });
    },
  );

  for (const decision of ['approve', 'reject'] as const) {
    const vote = device
      .command(`${decision} <device_id>`)
      .description(`vote to ${decision} the identity that waits for review`)
      .option('--reason <text>', 'why')
      .option('--digest <digest>', 'vote only if this is still what is up for approval')
      .option('--yes', 'do not ask');
    vote.action(async (id: string, options: ReviewOptions, command: Command) => {
      const after = await withClient(context, command, async (client) => {
        const pending = (await client.devices.get(id)).pending_review;
        if (pending === null) {
          throw new CliError(`Nothing about ${id} waits for review.`, { advice: `sentinel device show ${id}` });
        }
        const approval = await client.approvals.get(pending.id);
        if (!globalsOf(command).json) showApproval(context, approval);
        return client.devices.identityReview(id, await reviewBody(context, approval, decision, options));
      });
      present(context, command, after, (item) => tellState(context, item));
    });
  }

  for (const [name, act] of Object.entries(acts)) {
    device
      .command(`${name} <device_id>`)
      .description(act.description)
      .option('--reason <text>', 'why')
      .option('--yes', 'do not ask')
      .action(async (id: string, options: ActOptions, command: Command) => {
        const after = await withClient(context, command, async (client) => {
          const before = options.yes ? null : await client.devices.get(id);
          if (before && !globalsOf(command).json) showDevice(context, before);
          await confirmByName(context.terminal, { act: name, name: id, yes: options.yes });
          return act.run(client, id, options.reason === undefined ? {} : { reason: options.reason }, before);
        });
        present(context, command, after, (item) => tellState(context, item));
      });
  }
}

function queryOf(options: ListOptions): DeviceListQuery {
  return {
    ...(options.state === undefined ? {} : { approval_state: options.state }),
    ...(options.tier === undefined ? {} : { trust_tier: options.tier }),
    ...(options.liveness === undefined ? {} : { liveness: options.liveness }),
    ...(options.tag === undefined ? {} : { tag: options.tag }),
    ...(options.search === undefined ? {} : { search: options.search }),
    ...(options.pending === undefined ? {} : { pending_review: true }),
  };
}

function listDevices(context: CliContext, devices: readonly Device[]): void {
  const now = context.clock.now();
  table(
    context.terminal,
    ['device', 'identity', 'tier', 'liveness', 'last seen', 'host', 'platform', 'review'],
    devices.map((device) => [
      device.device_id,
      stateCell(device.retired ? 'retired' : device.approval_state),
      tierCell(device.trust_tier),
      stateCell(device.liveness),
      relative(device.last_seen_at, now),
      device.hostname ?? '',
      device.platform ?? '',
      device.pending_review
        ? `${device.pending_review.kind} ${device.pending_review.approvals}/${device.pending_review.required}`
        : '',
    ]),
  );
}

function tellState(context: CliContext, device: Device): void {
  const identity = device.retired ? 'retired' : device.approval_state;
  const review = device.pending_review;
  const waits = review ? `; ${review.kind} review: ${review.approvals} of ${review.required} approvals` : '';
  context.terminal.talk(`${device.device_id} is ${identity}, tier ${device.trust_tier}${waits}.`);
}

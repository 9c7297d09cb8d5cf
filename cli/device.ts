// sentinel device: look at devices, decide about their identity, take trust away.
import { Option, type Command } from 'commander';
import type { Client } from '#client/client.ts';
import type { Device, DeviceListQuery } from '#contracts/http/devices.ts';
import { deviceApprovalStates, livenessStates, trustTiers } from '#contracts/states.ts';
import { addAttestationCommands } from './attestation.ts';
import { confirmByName } from './confirm.ts';
import { withClient, type Target } from './connection.ts';
import { globalsOf, present, type CliContext } from './context.ts';
import { hasEvidence, showDevice, showExplanation } from './device-view.ts';
import { withExamples } from './examples.ts';
import { forEachId, readIds } from './many.ts';
import { presentPage, readPages, withPageOptions, type PageOptions } from './pages.ts';
import { reviewBody, showApproval, untilReviewed, type ReviewOptions } from './review.ts';
import { table } from './table.ts';
import { watching, withWatch } from './watch.ts';
import { longTime, shortTime } from './when.ts';
import { stateCell, tierCell } from './words.ts';

interface ListOptions extends PageOptions {
  readonly approvalState?: NonNullable<DeviceListQuery['approval_state']>;
  readonly trustTier?: NonNullable<DeviceListQuery['trust_tier']>;
  readonly liveness?: NonNullable<DeviceListQuery['liveness']>;
  readonly tag?: string;
  readonly search?: string;
  readonly pendingReview?: boolean;
}

interface ActOptions {
  readonly reason?: string;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** Acts that take something from a device: each asks for its name. */
const acts = {
  revoke: {
    description: 'revoke the certificate, for ever; a new one opens a rotation review',
    examples: ['device revoke lab-1 --reason "laptop was stolen"'],
    // The certificate that was shown, so that one pinned in between is not hit instead.
    run: (client: Client, id: string, reason: { reason?: string }, shown: Device | undefined) =>
      client.devices.revoke(id, {
        ...reason,
        ...(shown?.certificate ? { fingerprint_sha256: shown.certificate.fingerprint_sha256 } : {}),
      }),
  },
  reset: {
    description: 'clear pin and counter, and start again as pending',
    examples: ['device reset lab-1 --reason reinstalled'],
    run: (client: Client, id: string, reason: { reason?: string }) => client.devices.reset(id, reason),
  },
  retire: {
    description: 'take the device out of service',
    examples: [
      'device retire lab-1 lab-2 lab-3',
      'device list --liveness offline --all --quiet | sentinel device retire - --dry-run',
    ],
    run: (client: Client, id: string, reason: { reason?: string }) => client.devices.retire(id, reason),
  },
} as const;

export function addDeviceCommands(program: Command, context: CliContext): void {
  const device = program.command('device').description('devices, their identity and their trust');

  const list = withPageOptions(device.command('list').description('list devices'))
    .addOption(
      new Option('--state, --approval-state <state>', 'with this approval state').choices(deviceApprovalStates),
    )
    .addOption(new Option('--tier, --trust-tier <tier>', 'with this trust tier').choices(trustTiers))
    .addOption(new Option('--liveness <liveness>', 'with this liveness').choices(livenessStates))
    .option('--tag <tag>', 'with this tag')
    .option('--search <text>', 'with this in id or host name')
    .option('--pending, --pending-review', 'with a review that waits')
    .action((options: ListOptions, command: Command) =>
      watching(context, command, async (view) => {
        const query = queryOf(options);
        const page = await withClient(view, command, (client) =>
          readPages(view, options, (position) => client.devices.list({ ...position, ...query })),
        );
        presentPage(view, command, page, {
          none: 'No devices.',
          id: ({ device_id: id }) => id,
          rows: (items) => listDevices(view, items),
        });
      }),
    );
  withExamples(list, ['device list --pending', 'device list --tier restricted --watch', 'device list --all --json']);

  const show = withWatch(device.command('show <device_id>'))
    .description('show everything about a device')
    .action((id: string, _options: object, command: Command) =>
      watching(context, command, async (view) => {
        await withClient(view, command, async (client, target) => {
          const found = await client.devices.get(id);
          // What it is bound to is not in the object of the device.
          const status = globalsOf(command).json || !hasEvidence(found) ? null : await client.devices.attestation(id);
          present(view, command, found, (item) => showDevice(view, item, target, status));
        });
      }),
    );
  withExamples(show, ['device show lab-1', 'device show lab-1 --watch 5']);

  const explain = withWatch(device.command('explain <device_id>'))
    .description('why a device has its tier, and what would change it')
    .action((id: string, _options: object, command: Command) =>
      watching(context, command, async (view) => {
        const found = await withClient(view, command, (client) => client.devices.explanation(id));
        present(view, command, found, (item) => showExplanation(view, item));
      }),
    );
  withExamples(explain, ['device explain lab-1']);

  const history = withPageOptions(device.command('history <device_id>'))
    .description('what happened to a device, newest first')
    .action((id: string, options: PageOptions, command: Command) =>
      watching(context, command, async (view) => {
        const page = await withClient(view, command, (client) =>
          readPages(view, options, (position) => client.devices.history(id, position)),
        );
        presentPage(view, command, page, {
          none: 'Nothing happened yet.',
          id: (entry) => `${entry.epoch}.${entry.revision}`,
          rows: (items) =>
            table(
              view.terminal,
              ['revision', 'when', 'event', 'by', 'from', 'to'],
              items.map((entry) => [
                `${entry.epoch}.${entry.revision}`,
                shortTime(view, entry.at),
                entry.event,
                `${entry.by.kind} ${entry.by.id}`,
                entry.from_state ?? '',
                entry.to_state,
              ]),
              { spare: ['from', 'by'] },
            ),
        });
      }),
    );
  withExamples(history, ['device history lab-1 --limit 10']);

  addAttestationCommands(device, context);

  const assert = device
    .command('assert <device_id>')
    .description('sign a short statement of how far a device is trusted now, for another system')
    .requiredOption('--audience <name>', 'the system that is to believe it')
    .action(async (id: string, { audience }: { readonly audience: string }, command: Command) => {
      const minted = await withClient(context, command, (client) => client.devices.trustAssertion(id, { audience }));
      present(context, command, minted, ({ assertion, trust_tier, expires_at }) => {
        context.terminal.talk(`${id} is ${trust_tier}, for ${audience}, until ${longTime(context, expires_at)}.`);
        context.terminal.data(assertion);
      });
    });
  withExamples(assert, ['device assert lab-1 --audience demo', 'device assert lab-1 --audience demo --json']);

  for (const decision of ['approve', 'reject'] as const) {
    const vote = device
      .command(`${decision} <device_id...>`)
      .description(`vote to ${decision} the identity that waits for review; - reads ids from standard input`)
      .option('--reason <text>', 'why')
      .option('--digest <digest>', 'vote only if this is still what is up for approval')
      .option('--yes', 'do not ask')
      .action(async (words: readonly string[], options: ReviewOptions, command: Command) => {
        const ids = await readIds(context, words);
        await withClient(context, command, (client, target) =>
          forEachId(context, command, ids, {
            work: async (id) => {
              const approval = await untilReviewed(context, client, id);
              if (!globalsOf(command).json) showApproval(context, approval, target);
              return client.devices.identityReview(id, await reviewBody(context, approval, decision, options));
            },
            tell: (item) => tellState(context, item),
          }),
        );
      });
    withExamples(vote, [`device ${decision} lab-1 --reason "known to the lab"`]);
  }

  for (const [name, act] of Object.entries(acts)) {
    const command = device
      .command(`${name} <device_id...>`)
      .description(`${act.description}; - reads ids from standard input`)
      .option('--reason <text>', 'why')
      .option('--yes', 'do not ask')
      .option('--dry-run', 'say what would be done, and do nothing')
      .action(async (words: readonly string[], options: ActOptions, own: Command) => {
        const ids = await readIds(context, words);
        await withClient(context, own, async (client, target) => {
          if (options.dryRun) {
            return forEachId(context, own, ids, {
              work: (id) => client.devices.get(id),
              tell: (item) => context.terminal.data(`would ${name} ${item.device_id}; it is ${describe(item)}`),
            });
          }
          const shown = options.yes ? [] : await lookFirst(context, own, client, { target, ids });
          const whom = ids.length === 1 ? (ids[0] ?? '') : `${ids.length} devices`;
          await confirmByName(context.terminal, { act: name, name: whom, yes: options.yes });
          const reason = options.reason === undefined ? {} : { reason: options.reason };
          return forEachId(context, own, ids, {
            work: (id) =>
              act.run(
                client,
                id,
                reason,
                shown.find((before) => before.device_id === id),
              ),
            tell: (item) => tellState(context, item),
          });
        });
      });
    withExamples(command, act.examples);
  }
}

/** Shows what an act is about, before the person is asked. */
async function lookFirst(
  context: CliContext,
  command: Command,
  client: Client,
  { target, ids }: { readonly target: Target; readonly ids: readonly string[] },
) {
  const shown: Device[] = [];
  for (const id of ids) shown.push(await client.devices.get(id));
  if (globalsOf(command).json) return shown;
  const [only] = shown;
  if (shown.length === 1 && only !== undefined) showDevice(context, only, target);
  else listDevices(context, shown);
  return shown;
}

function queryOf(options: ListOptions): DeviceListQuery {
  return {
    ...(options.approvalState === undefined ? {} : { approval_state: options.approvalState }),
    ...(options.trustTier === undefined ? {} : { trust_tier: options.trustTier }),
    ...(options.liveness === undefined ? {} : { liveness: options.liveness }),
    ...(options.tag === undefined ? {} : { tag: options.tag }),
    ...(options.search === undefined ? {} : { search: options.search }),
    ...(options.pendingReview === undefined ? {} : { pending_review: true }),
  };
}

function listDevices(context: CliContext, devices: readonly Device[]): void {
  table(
    context.terminal,
    ['device', 'identity', 'tier', 'liveness', 'last seen', 'host', 'platform', 'review'],
    devices.map((device) => [
      device.device_id,
      stateCell(device.retired ? 'retired' : device.approval_state),
      tierCell(device.trust_tier),
      stateCell(device.liveness),
      shortTime(context, device.last_seen_at),
      device.hostname ?? '',
      device.platform ?? '',
      device.pending_review
        ? `${device.pending_review.kind} ${device.pending_review.approvals}/${device.pending_review.required}`
        : '',
    ]),
    { spare: ['platform', 'host', 'review', 'last seen'] },
  );
}

function tellState(context: CliContext, device: Device): void {
  const review = device.pending_review;
  const waits = review ? `; ${review.kind} review: ${review.approvals} of ${review.required} approvals` : '';
  context.terminal.talk(`${device.device_id} is ${describe(device)}${waits}.`);
}

function describe(device: Device): string {
  return `${device.retired ? 'retired' : device.approval_state}, tier ${device.trust_tier}`;
}

// sentinel certificate: which certificates end soon.
import { Option, type Command } from 'commander';
import { certificateRoles, type CertificateListQuery, type ListedCertificate } from '#contracts/http/certificates.ts';
import { rotationAdvice } from '#contracts/states.ts';
import { withClient } from './connection.ts';
import type { CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { presentPage, readPages, withPageOptions, type PageOptions } from './pages.ts';
import { table, type Cell } from './table.ts';
import { watching } from './watch.ts';
import { longTime } from './when.ts';
import { tierCell } from './words.ts';

interface ListOptions extends PageOptions {
  readonly rotation?: NonNullable<CertificateListQuery['rotation']>;
  readonly role?: NonNullable<CertificateListQuery['role']>;
  readonly expiringSoon?: boolean;
  readonly expired?: boolean;
  readonly search?: string;
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
}

function queryOf({ rotation, role, expiringSoon, expired, search }: ListOptions): CertificateListQuery {
  return {
    ...(rotation === undefined ? {} : { rotation }),
    ...(role === undefined ? {} : { role }),
    ...(expiringSoon ? { expiring_soon: true } : {}),
    ...(expired ? { expired: true } : {}),
    ...(search === undefined ? {} : { search }),
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

// sentinel ca: certificates from the development authority of this home.
import type { Command } from 'commander';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Device } from '#contracts/http/devices.ts';
import { isDeviceId } from '#contracts/ids.ts';
import { confirmByName } from './confirm.ts';
import { withClient } from './connection.ts';
import { homeOf, present, settingsOf, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError, wrongUsage } from './failure.ts';
import { facts } from './table.ts';

const dayMs = 86_400_000;

interface IssueOptions {
  readonly out: string;
  readonly days?: string;
  readonly force?: boolean;
}

interface RevokeOptions {
  readonly certificate?: string;
  readonly yes?: boolean;
}

export function addCaCommands(program: Command, context: CliContext): void {
  const ca = program.command('ca').description('the development authority of this installation');

  const issue = ca
    .command('issue <device_id>')
    .description('make device.key, device.crt and ca.crt for a device')
    .requiredOption('--out <dir>', 'folder to write them to')
    .option('--days <n>', 'how long the certificate is good for (default 90)')
    .option('--force', 'write over files that are there')
    .action(async (deviceId: string, options: IssueOptions, command: Command) => {
      if (!isDeviceId(deviceId)) throw wrongUsage(`${deviceId} is no device id.`, 'Letters, digits and . _ : - only.');
      if (settingsOf(context).SENTINEL_TLS_CA !== undefined) {
        context.terminal.talk(
          'SENTINEL_TLS_CA names another authority: this installation will not trust the certificate.',
        );
      }
      const days = daysOf(options.days);
      // Loaded here: the certificate libraries take longer to load than most commands to run.
      const { createDevelopmentCa } = await import('#protocols/development-ca.ts');
      const authority = await createDevelopmentCa(join(homeOf(context).directory, 'ca'), context);
      const issued = await authority.issueDevice({
        deviceId,
        ...(days === undefined ? {} : { notAfter: new Date(context.clock.now().getTime() + days * dayMs) }),
      });
      const directory = resolve(context.directory, options.out);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const written = {
        key: join(directory, 'device.key'),
        certificate: join(directory, 'device.crt'),
        ca: join(directory, 'ca.crt'),
      };
      const flag = options.force ? 'w' : 'wx';
      await write(written.key, issued.keyPem, { flag, mode: 0o600 });
      await write(written.certificate, issued.certificatePem, { flag, mode: 0o644 });
      await write(written.ca, authority.caCertificatePem, { flag: 'w', mode: 0o644 });
      present(context, command, { device_id: deviceId, ...written }, () => {
        facts(context.terminal, [
          ['Key', written.key],
          ['Certificate', written.certificate],
          ['Authority', written.ca],
        ]);
      });
      const url = (await homeOf(context).instance())?.api_url;
      const elsewhere = url === undefined || url === 'https://localhost:8443' ? '' : ` --url ${url}`;
      context.terminal.talk(`Run an agent with it: npm run agent -- run --identity ${options.out}${elsewhere}`);
    });

  withExamples(issue, ['ca issue lab-1 --out ./lab-1', 'ca issue lab-1 --out ./lab-1 --days 7 --force']);

  const revoke = ca
    .command('revoke <device_id>')
    .description('put the certificate of a device on the revocation list of the authority, for ever')
    .option('--certificate <file>', 'this one, instead of the one that is pinned')
    .option('--yes', 'do not ask')
    .action(async (deviceId: string, options: RevokeOptions, command: Command) => {
      if (settingsOf(context).SENTINEL_TLS_CA !== undefined)
        throw new CliError('SENTINEL_TLS_CA names another authority.', {
          advice: 'Revoke there, and publish its list in a file of SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS.',
        });
      const { certificate: file } = options;
      const { createDevelopmentCa } = await import('#protocols/development-ca.ts');
      const authority = await createDevelopmentCa(join(homeOf(context).directory, 'ca'), context);
      const found =
        file === undefined
          ? await withClient(context, command, async (client) => pinnedBy(await client.devices.get(deviceId)))
          : namedBy(await readCertificate(resolve(context.directory, file)), { file, deviceId });
      // A number means nothing without who gave it.
      if (!found.isOf(authority))
        throw new CliError(`The certificate of ${deviceId} is not of this authority.`, { advice: 'Nothing was done.' });
      await confirmByName(context.terminal, { act: 'revoke', name: deviceId, yes: options.yes });
      const { serial } = found;
      const list = await authority.revoke(serial);
      present(context, command, { device_id: deviceId, serial_number: serial, ...list }, () => {
        facts(context.terminal, [
          ['Serial number', serial],
          ['Revocation list', `number ${list.number}, ${list.file}`],
        ]);
      });
      context.terminal.talk(`Within ten seconds ${deviceId} is revoked. See it: sentinel device explain ${deviceId}`);
    });
  withExamples(revoke, ['ca revoke lab-1', 'ca revoke lab-1 --certificate ./lab-1-old/device.crt --yes']);

  const pair = ca
    .command('attestation-key')
    .description('make device_attest.key and device_attest.pub, which an agent signs its measurements with')
    .option('--out <dir>', 'folder to write them to', join('deploy', 'certs', 'out'))
    .option('--force', 'write over files that are there')
    .action(async (options: Pick<IssueOptions, 'out' | 'force'>, command: Command) => {
      const directory = resolve(context.directory, options.out);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const written = { key: join(directory, 'device_attest.key'), public_key: join(directory, 'device_attest.pub') };
      const { privateKey, publicKey } = generateKeyPairSync('ed25519');
      const flag = options.force ? 'w' : 'wx';
      const text = (pem: string | Buffer): string => pem.toString();
      await write(written.key, text(privateKey.export({ type: 'pkcs8', format: 'pem' })), { flag, mode: 0o600 });
      await write(written.public_key, text(publicKey.export({ type: 'spki', format: 'pem' })), { flag, mode: 0o644 });
      present(context, command, written, () => {
        facts(context.terminal, [
          ['Key', written.key],
          ['Public key', written.public_key],
        ]);
      });
      context.terminal.talk(
        'Name them in the configuration: attestation_private_key_path, attestation_public_key_path.',
      );
    });
  withExamples(pair, ['ca attestation-key', 'ca attestation-key --out ./lab-1']);

  const trust = ca
    .command('trust')
    .description('print where the certificate of the server’s authority is, and how to trust it')
    .option('--out <file>', 'copy it there')
    .action(async (options: { out?: string }, command: Command) => {
      const home = homeOf(context);
      const source = (await home.instance())?.ca_file ?? join(home.directory, 'ca', 'ca.crt');
      const pem = await readFile(source, 'utf8').catch((cause: NodeJS.ErrnoException) => {
        throw new CliError(`There is no authority at ${source}.`, { advice: 'npm start makes one.', cause });
      });
      const file = options.out === undefined ? source : resolve(context.directory, options.out);
      if (options.out !== undefined) await write(file, pem, { flag: 'wx', mode: 0o644 });
      present(context, command, { ca_file: file }, () => context.terminal.data(file));
      context.terminal.talk(howToTrust(file));
    });
  withExamples(trust, ['ca trust', 'ca trust --out ./sentinel-ca.crt']);
}

interface Revocable {
  /** Hex. */
  readonly serial: string;
  isOf(authority: { readonly subject: string; readonly caCertificatePem: string }): boolean;
}

function pinnedBy({ device_id: id, certificate }: Device): Revocable {
  if (certificate === null)
    throw new CliError(`${id} has no certificate that is pinned.`, {
      advice: `Approve it first, or name the file: sentinel ca revoke ${id} --certificate FILE`,
    });
  return { serial: certificate.serial_number, isOf: ({ subject }) => certificate.issuer === subject };
}

/** Whoever names the wrong file would revoke another device, for ever. */
function namedBy(
  certificate: X509Certificate,
  { file, deviceId }: { readonly file: string; readonly deviceId: string },
): Revocable {
  if (!certificate.subject.split('\n').includes(`CN=${deviceId}`))
    throw new CliError(`${file} is not a certificate of ${deviceId}.`, { advice: 'Nothing was done.' });
  return {
    serial: certificate.serialNumber.toLowerCase(),
    isOf: ({ caCertificatePem }) => certificate.verify(new X509Certificate(caCertificatePem).publicKey),
  };
}

async function readCertificate(path: string): Promise<X509Certificate> {
  const text = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new CliError(`${path} cannot be read: ${cause.code}`, { cause });
  });
  try {
    return new X509Certificate(text);
  } catch (cause) {
    throw new CliError(`${path} is not a certificate.`, { cause });
  }
}

async function write(path: string, text: string, options: { flag: 'w' | 'wx'; mode: number }): Promise<void> {
  await writeFile(path, text, options).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EEXIST')
      throw new CliError(`${path} exists already.`, { advice: 'Take another folder, or --force.' });
    throw new CliError(`${path} cannot be written: ${cause.code}`, { cause });
  });
}

function daysOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const days = Number(text);
  if (!/^\d{1,4}$/.test(text) || days < 1 || days > 3650) throw wrongUsage('Say --days as a number from 1 to 3650.');
  return days;
}

function howToTrust(file: string): string {
  return [
    'Trust it only on machines that you test with:',
    `  curl               curl --cacert ${file} …`,
    `  Node               NODE_EXTRA_CA_CERTS=${file}`,
    `  Debian and Ubuntu  cp ${file} /usr/local/share/ca-certificates/sentinel.crt && update-ca-certificates`,
    `  macOS              security add-trusted-cert -k ~/Library/Keychains/login.keychain-db ${file}`,
    '  Firefox            Settings → Privacy & Security → Certificates → Authorities → Import',
  ].join('\n');
}

// sentinel ca: certificates from the development authority of this home.
import type { Command } from 'commander';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isDeviceId } from '#contracts/ids.ts';
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

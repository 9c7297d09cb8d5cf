// The authority of an installation that has no other: its key and certificate, and the server's, as files of one folder.
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { appendFile, link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Random } from '#contracts/deps.ts';
import { isDeviceId } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import { clientAuth } from './certificate-extensions.ts';
import { isIssuedBy, parseCertificate, type Certificate } from './certificate.ts';
import { isListed, readRevocationLists } from './crl.ts';
import { generateKey, issueCertificate, serverAuth, type IssuedCertificate } from './issue-certificate.ts';
import { issueRevocationList, type RevokedSerial } from './issue-revocation-list.ts';

const dayMs = 86_400_000;
const authorityDays = 3652;
/** The most that clients accept of a server (CA/Browser Forum). */
const serverDays = 397;
const renewServerBelowDays = 30;
const deviceDays = 90;
/** Certificates begin a little earlier, for clients whose clock is behind. */
const backdateMs = 5 * 60_000;

export interface DevelopmentCa {
  readonly caCertificatePem: string;
  readonly serverCertificatePem: string;
  readonly serverKeyPem: string;
  /** A certificate that names this device and a new key, good for 90 days unless said otherwise. */
  issueDevice(request: { deviceId: string; notBefore?: Date; notAfter?: Date }): Promise<IssuedCertificate>;
  /** A certificate for these host names and addresses, and a new key unless one is given. */
  issueServer(request: { names: readonly string[]; keyPem?: string }): Promise<IssuedCertificate>;
  /** RFC 4514, as a device certificate of it says. */
  readonly subject: string;
  /** Takes back the certificate with this serial number (hex), for ever, and publishes that. Once more changes nothing. */
  revoke(serialNumber: string): Promise<PublishedList>;
  /** Writes `ca.crl` unless it says already what was taken back. */
  publishList(): Promise<PublishedList>;
}

export interface PublishedList {
  readonly file: string;
  /** CRLNumber. */
  readonly number: number;
}

interface Deps {
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Loads the authority of this folder, or makes it: `ca.crt`, `ca.key`, `server.crt`, `server.key` (keys 0600), and once
 * somebody asks for the list of what it has taken back, `ca.crl`.
 *
 * A key is written before its certificate, and nothing is ever written over, except a server certificate that runs out,
 * which keeps its key: whenever a process dies, the next one goes on from the files, and two processes that make the
 * same folder end with the same authority. Files that are damaged or do not belong together are never replaced.
 *
 * @throws TrustError `trust_anchor.invalid`, naming the file
 */
export async function createDevelopmentCa(directory: string, deps: Deps): Promise<DevelopmentCa> {
  const { clock } = deps;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authority = await loadPair(directory, 'ca', deps, async (keyPem) => issueAuthority(keyPem, deps));
  const ca = parseCertificate(authority.certificatePem);
  if (!ca.isCa) throw damaged(directory, 'ca.crt', 'it is not an authority');
  if (daysLeft(ca, deps) <= 0) throw damaged(directory, 'ca.crt', 'it has expired; move the folder away for a new one');

  const issueServer: DevelopmentCa['issueServer'] = async ({ names, keyPem }) =>
    issueCertificate({
      subject: [{ CN: [{ utf8String: names[0] ?? 'localhost' }] }],
      ...(keyPem === undefined ? {} : { keyPem }),
      issuer: authority,
      ...newCertificate(serverDays, deps),
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: [serverAuth],
      alternativeNames: names,
    });
  const issueLocal = async (keyPem: string): Promise<IssuedCertificate> =>
    issueServer({ names: ['localhost', '127.0.0.1', '::1'], keyPem });

  let server = await loadPair(directory, 'server', deps, issueLocal);
  const present = parseCertificate(server.certificatePem);
  if (!isIssuedBy(present, ca)) throw damaged(directory, 'server.crt', 'it was not issued by ca.crt');
  if (daysLeft(present, deps) < renewServerBelowDays) {
    server = await issueLocal(server.keyPem);
    await rename(
      await writeBeside(join(directory, 'server.crt'), server.certificatePem, deps),
      join(directory, 'server.crt'),
    );
  }

  /** Again when somebody else has revoked meanwhile, so that the last one to write has seen everything. */
  async function publishList(): Promise<PublishedList> {
    const file = join(directory, 'ca.crl');
    for (;;) {
      const entries = await readRevoked(directory);
      const number = entries.length + 1;
      if (!(await isPublished(file, ca, { number, entries }))) {
        const list = await issueRevocationList({
          issuer: authority,
          number,
          // That of the certificate, so that a clock that is put back does not leave everybody without a list.
          thisUpdate: new Date(
            entries
              .map(({ at }) => at)
              .toSorted()
              .at(-1) ?? ca.notBefore,
          ),
          nextUpdate: new Date(ca.notAfter),
          entries,
        });
        await rename(await writeBeside(file, list, deps), file);
      }
      if ((await readRevoked(directory)).length === entries.length) return { file, number };
    }
  }

  return {
    caCertificatePem: authority.certificatePem,
    serverCertificatePem: server.certificatePem,
    serverKeyPem: server.keyPem,
    issueServer,
    issueDevice: async ({ deviceId, ...validity }) => {
      if (!isDeviceId(deviceId)) throw new TrustError('request.invalid', { detail: 'This is not a device id' });
      return issueCertificate({
        subject: [{ CN: [{ utf8String: deviceId }] }],
        issuer: authority,
        ...newCertificate(deviceDays, deps),
        ...validity,
        keyUsage: ['digitalSignature'],
        extendedKeyUsage: [clientAuth],
      });
    },
    subject: ca.subject,
    async revoke(serialNumber) {
      const serial = serialNumber.toLowerCase().replace(/^0+(?=.)/, '');
      if (!/^[0-9a-f]{1,40}$/.test(serial))
        throw new TrustError('request.invalid', { detail: 'This is not a serial number' });
      const known = await readRevoked(directory);
      if (!known.some((entry) => entry.serialNumber === serial))
        // A line is written by one call, so two who revoke at once both stand there.
        await appendFile(join(directory, revokedFile), `${serial} ${clock.now().toISOString()}\n`, { mode: 0o600 });
      return publishList();
    },
    publishList,
  };
}

const revokedFile = 'revoked.txt';

/** What was taken back, one serial number and time a line, oldest first; the list is made of it. */
async function readRevoked(directory: string): Promise<readonly RevokedSerial[]> {
  const text = (await readIfPresent(join(directory, revokedFile))) ?? '';
  const entries = new Map<string, RevokedSerial>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, serialNumber, at] = /^([0-9a-f]{1,40}) (\d{4}-\d\d-\d\dT[\d:.]+Z)$/.exec(line) ?? [];
    if (serialNumber === undefined || at === undefined || Number.isNaN(Date.parse(at)))
      throw damaged(directory, revokedFile, 'a line is not a serial number and a time');
    if (!entries.has(serialNumber)) entries.set(serialNumber, { serialNumber, at });
  }
  return [...entries.values()];
}

async function issueAuthority(keyPem: string, deps: Deps): Promise<IssuedCertificate> {
  const spki = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
  const keyName = createHash('sha256').update(spki).digest('hex').slice(0, 12);
  return issueCertificate({
    // Named after its key: no two authorities share a name, and a certificate that is made again is the same authority.
    subject: [{ O: [{ utf8String: 'Sentinel' }] }, { CN: [{ utf8String: `Sentinel Development CA ${keyName}` }] }],
    keyPem,
    ...newCertificate(authorityDays, deps),
    authority: {},
    keyUsage: ['keyCertSign', 'cRLSign'],
  });
}

function newCertificate(
  days: number,
  { clock, random }: Deps,
): { serialNumber: Uint8Array; notBefore: Date; notAfter: Date } {
  const now = clock.now().getTime();
  // 126 random bits, positive and never shorter than they look (RFC 5280 §4.1.2.2).
  const serialNumber = Uint8Array.from(random.bytes(16));
  serialNumber[0] = ((serialNumber[0] ?? 0) & 0x3f) | 0x40;
  return { serialNumber, notBefore: new Date(now - backdateMs), notAfter: new Date(now + days * dayMs) };
}

function daysLeft({ notAfter }: Certificate, { clock }: Deps): number {
  return (Date.parse(notAfter) - clock.now().getTime()) / dayMs;
}

async function loadPair(
  directory: string,
  name: 'ca' | 'server',
  deps: Deps,
  issue: (keyPem: string) => Promise<IssuedCertificate>,
): Promise<IssuedCertificate> {
  const certificateFile = join(directory, `${name}.crt`);
  const keyFile = join(directory, `${name}.key`);
  const present = await readIfPresent(certificateFile);
  if ((await readIfPresent(keyFile)) === undefined) {
    if (present !== undefined)
      throw damaged(directory, `${name}.key`, `it is missing, and ${name}.crt is of no use without it`);
    await createFile(keyFile, await generateKey('P-256'), deps);
  }
  const keyPem = await readFile(keyFile, 'utf8');
  const publicKey = publicKeyOf(keyPem);
  if (publicKey === null) throw damaged(directory, `${name}.key`, 'it is not a private key');
  if (present === undefined) await createFile(certificateFile, (await issue(keyPem)).certificatePem, deps);
  const certificatePem = await readFile(certificateFile, 'utf8');
  const certificate = readCertificate(certificatePem);
  if (certificate === null) throw damaged(directory, `${name}.crt`, 'it is not a certificate');
  if (!certificate.publicKey.equals(publicKey))
    throw damaged(directory, `${name}.crt`, `it does not belong to ${name}.key`);
  return { certificatePem, keyPem };
}

function publicKeyOf(keyPem: string) {
  try {
    return createPublicKey(createPrivateKey(keyPem));
  } catch {
    // The cause is left out: it may quote the key.
    return null;
  }
}

function readCertificate(pem: string): Certificate | null {
  try {
    return parseCertificate(pem);
  } catch {
    return null;
  }
}

async function readIfPresent(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

/** Makes a file with all of its content or not at all; one that another process made first stays. */
async function createFile(path: string, content: string, deps: Deps): Promise<void> {
  const temporary = await writeBeside(path, content, deps);
  await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(temporary);
}

async function writeBeside(path: string, content: string, { random }: Deps): Promise<string> {
  const temporary = `${path}.${random.uuid()}`;
  const handle = await open(temporary, 'wx', path.endsWith('.key') ? 0o600 : 0o644);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return temporary;
}

/** Whether the file holds this list already; one that cannot be read is written anew. */
async function isPublished(
  file: string,
  ca: Certificate,
  { number, entries }: { readonly number: number; readonly entries: readonly RevokedSerial[] },
): Promise<boolean> {
  const text = await readIfPresent(file);
  if (text === undefined) return false;
  try {
    const [list, ...more] = readRevocationLists(Buffer.from(text), [ca]);
    return (
      list !== undefined &&
      more.length === 0 &&
      list.number === String(number) &&
      list.entries === entries.length &&
      entries.every(({ serialNumber }) => isListed(list, serialNumber))
    );
  } catch (error) {
    if (error instanceof TrustError) return false;
    throw error;
  }
}

function damaged(directory: string, name: string, reason: string): TrustError {
  return new TrustError('trust_anchor.invalid', { detail: `${join(directory, name)}: ${reason}` });
}

// Who the device is towards the server: its certificate and key, and the authorities that it trusts the server by.
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { AgentConfig } from './config.ts';
import { FileProblem, fileProblem } from './file-problem.ts';

export interface Identity {
  /** PEM: the certificate, and its chain if the file has one. */
  readonly certificate: string;
  /** PEM. Never shown or logged. */
  readonly key: string;
  /** PEM; `null` for the well-known public authorities. */
  readonly ca: string | null;
  readonly commonName: string;
  /** SHA-256 over the DER, lower-case hex, as the console shows it. */
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export type IdentityFiles = Pick<AgentConfig, 'certificate_path' | 'private_key_path' | 'server_ca_path'>;

const largestFileBytes = 256 * 1024;

/**
 * Reads the files, and makes sure that they belong together and to this device. Dates are for the caller to judge.
 *
 * @param deviceId What the certificate has to name; any device when absent.
 * @throws FileProblem
 */
export async function readIdentity(files: IdentityFiles, deviceId?: string): Promise<Identity> {
  const certificate = await readText(files.certificate_path);
  const leaf = parseCertificate(files.certificate_path, certificate);
  const commonName = commonNameOf(leaf);
  if (commonName === null)
    throw new FileProblem(files.certificate_path, 'has no single common name', 'Have one issued for this device.');
  if (deviceId !== undefined && commonName !== deviceId)
    throw new FileProblem(
      files.certificate_path,
      `is the certificate of ${JSON.stringify(commonName)} and not of ${deviceId}`,
      'Correct device_id, or the path.',
    );
  const key = await readText(files.private_key_path);
  if (!leaf.checkPrivateKey(parseKey(files.private_key_path, key)))
    throw new FileProblem(
      files.private_key_path,
      `does not belong to ${files.certificate_path}`,
      'Take the two that were issued together.',
    );
  const ca = files.server_ca_path === null ? null : await readAuthorities(files.server_ca_path);
  return { certificate, key, ca, commonName, ...factsOf(leaf) };
}

/** An identity as it is written down: that of a device whose files have another one by now. */
export interface KeptIdentity {
  readonly certificate: string;
  readonly private_key: string;
}

/**
 * Makes the identity of what was written down.
 *
 * @param kept As parsed from JSON.
 * @returns null when that is no identity of this device
 */
export function restoreIdentity(kept: unknown, ca: string | null, deviceId: string): Identity | null {
  const { certificate, private_key: key } = Object(kept) as Record<string, unknown>;
  if (typeof certificate !== 'string' || typeof key !== 'string') return null;
  try {
    const leaf = new X509Certificate(certificate);
    if (commonNameOf(leaf) !== deviceId || !leaf.checkPrivateKey(createPrivateKey(key))) return null;
    return { certificate, key, ca, commonName: deviceId, ...factsOf(leaf) };
  } catch {
    return null;
  }
}

function factsOf(leaf: X509Certificate): Pick<Identity, 'fingerprint' | 'notBefore' | 'notAfter'> {
  return {
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    notBefore: leaf.validFromDate,
    notAfter: leaf.validToDate,
  };
}

async function readAuthorities(path: string): Promise<string> {
  const text = await readText(path);
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw notPem(path, 'certificate');
  if (!blocks.every((block) => parseCertificate(path, block).ca))
    throw new FileProblem(path, 'holds a certificate that is no authority', 'Name the authority of the server.');
  return text;
}

function parseCertificate(path: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw notPem(path, 'certificate');
  }
}

function parseKey(path: string, pem: string): KeyObject {
  if (/ENCRYPTED/.test(pem))
    throw new FileProblem(
      path,
      'is protected by a passphrase, which nobody enters for a service',
      'Store it without one, in a file of mode 0600.',
    );
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause is left out: it may quote the key.
    throw notPem(path, 'private key');
  }
}

function notPem(path: string, what: string): FileProblem {
  return new FileProblem(path, `is no ${what} in PEM form`, 'Correct the path, or convert the file with openssl.');
}

function commonNameOf(certificate: X509Certificate): string | null {
  const { CN } = certificate.toLegacyObject().subject as { CN?: string | string[] };
  return typeof CN === 'string' && CN !== '' ? CN : null;
}

/** A file may be replaced by something endless, so no more is read than a certificate can need. */
async function readText(path: string): Promise<string> {
  try {
    const handle = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(largestFileBytes), 0, largestFileBytes, 0);
      return buffer.subarray(0, bytesRead).toString();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileProblem(path, error);
  }
}

// The certificate and key of a simulated device: made once by the development authority, and kept.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock, Random } from '#contracts/deps.ts';
import type { DevelopmentCa } from '#protocols/development-ca.ts';
import { readIfThere, replacePrivateFile } from '../private-file.ts';
import type { PresentedCertificate } from './oracle.ts';

export interface FleetIdentity extends PresentedCertificate {
  readonly deviceId: string;
  readonly certificate: string;
  readonly key: string;
  /** SHA-256 over the DER, lower-case hex: what an approval must name. */
  readonly fingerprint: string;
  /** An earlier run had an identity for this device, which may have been this one. */
  readonly kept: boolean;
}

interface Deps {
  readonly ca: DevelopmentCa;
  readonly clock: Clock;
  readonly random: Random;
}

/** Replaced when it has less time left than this. */
const renewBelowMs = 7 * 86_400_000;

/**
 * Key and certificate are one file, so that they always belong together.
 *
 * @param notBefore of a new certificate; it is valid at once when absent
 */
export async function keepIdentity(
  path: string,
  deviceId: string,
  deps: Deps,
  notBefore?: Date,
): Promise<FleetIdentity> {
  const text = await readIfThere(path);
  const kept = parseIdentity(text, deviceId);
  if (kept !== null && isUsable(kept, deps.ca, deps.clock.now())) return kept;
  return { ...(await renewIdentity(path, deviceId, deps, notBefore)), kept: text !== null };
}

/** A new key and certificate in place of those of the file. */
export async function renewIdentity(
  path: string,
  deviceId: string,
  deps: Deps,
  notBefore?: Date,
): Promise<FleetIdentity> {
  const identity = await issueIdentity(deps.ca, deviceId, notBefore === undefined ? {} : { notBefore });
  await replacePrivateFile(path, `${identity.key}\n${identity.certificate}\n`, deps.random);
  return identity;
}

/** A key and certificate that are not kept, and may be wrong on purpose. */
export async function issueIdentity(
  ca: DevelopmentCa,
  deviceId: string,
  options: { notBefore?: Date; notAfter?: Date } & Partial<Pick<FleetIdentity, 'issuedBy' | 'usage'>>,
): Promise<FleetIdentity> {
  const { issuedBy = 'ours', usage = 'device', ...validity } = options;
  const { certificatePem, keyPem } =
    usage === 'server' ? await ca.issueServer({ names: [deviceId] }) : await ca.issueDevice({ deviceId, ...validity });
  return identityOf(certificatePem, keyPem, { deviceId, issuedBy, usage, kept: false });
}

function parseIdentity(text: string | null, deviceId: string): FleetIdentity | null {
  const key = text?.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/)?.[0];
  const certificate = text?.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/)?.[0];
  if (key === undefined || certificate === undefined) return null;
  return identityOf(certificate, key, { deviceId, issuedBy: 'ours', usage: 'device', kept: true });
}

function identityOf(
  certificate: string,
  key: string,
  about: Pick<FleetIdentity, 'deviceId' | 'issuedBy' | 'usage' | 'kept'>,
): FleetIdentity {
  const { fingerprint256, validFromDate, validToDate } = new X509Certificate(certificate);
  return {
    ...about,
    certificate: certificate.trim(),
    key: key.trim(),
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
    notBeforeMs: validFromDate.getTime(),
    notAfterMs: validToDate.getTime(),
  };
}

/** An authority that was made anew does not know what the one before it issued. */
function isUsable(identity: FleetIdentity, ca: DevelopmentCa, now: Date): boolean {
  const certificate = new X509Certificate(identity.certificate);
  return (
    certificate.verify(new X509Certificate(ca.caCertificatePem).publicKey) &&
    certificate.checkPrivateKey(createPrivateKey(identity.key)) &&
    identity.notAfterMs - now.getTime() > renewBelowMs
  );
}

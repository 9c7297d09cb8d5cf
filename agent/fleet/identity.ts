// The certificate and key of a simulated device: made once by the development authority, and kept.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock, Random } from '#contracts/deps.ts';
import type { DevelopmentCa } from '#protocols/development-ca.ts';
import { readIfThere, replacePrivateFile } from '../private-file.ts';

export interface FleetIdentity {
  readonly certificate: string;
  readonly key: string;
  /** SHA-256 over the DER, lower-case hex: what an approval must name. */
  readonly fingerprint: string;
}

/** Replaced when it has less time left than this. */
const renewBelowMs = 7 * 86_400_000;

/** Key and certificate are one file, so that they always belong together. */
export async function keepIdentity(
  path: string,
  deviceId: string,
  deps: { readonly ca: DevelopmentCa; readonly clock: Clock; readonly random: Random },
): Promise<FleetIdentity> {
  const kept = parseIdentity(await readIfThere(path));
  if (kept !== null && isUsable(kept, deps.ca, deps.clock.now())) return kept;
  const { certificatePem, keyPem } = await deps.ca.issueDevice({ deviceId });
  await replacePrivateFile(path, `${keyPem.trim()}\n${certificatePem.trim()}\n`, deps.random);
  return identityOf(certificatePem, keyPem);
}

function parseIdentity(text: string | null): FleetIdentity | null {
  const key = text?.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/)?.[0];
  const certificate = text?.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/)?.[0];
  return key === undefined || certificate === undefined ? null : identityOf(certificate, key);
}

function identityOf(certificate: string, key: string): FleetIdentity {
  const fingerprint = new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
  return { certificate: certificate.trim(), key: key.trim(), fingerprint };
}

/** An authority that was made anew does not know what the one before it issued. */
function isUsable(identity: FleetIdentity, ca: DevelopmentCa, now: Date): boolean {
  const certificate = new X509Certificate(identity.certificate);
  return (
    certificate.verify(new X509Certificate(ca.caCertificatePem).publicKey) &&
    certificate.checkPrivateKey(createPrivateKey(identity.key)) &&
    certificate.validToDate.getTime() - now.getTime() > renewBelowMs
  );
}

// The client certificate as nginx forwards it: the PEM decides, and every other header has to agree with it.
//
// Whether the request really came from the proxy is for the caller to know: only then are these headers read at all.
import { createHash } from 'node:crypto';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { parseCertificate, sameSerial, type Certificate } from './certificate.ts';
import { writeName } from './distinguished-name.ts';

/** Longer than any certificate that is accepted, with every character escaped. */
const maximumEscapedLength = 96 * 1024;

/** What each header says of the certificate, and how to see that it is true. */
const statements: Readonly<Record<string, (value: string, certificate: Certificate) => boolean>> = {
  serial: (value, { serialNumber }) => sameSerial(value, serialNumber),
  'issuer-dn': (value, { parts }) => value === writeName(parts.issuerName, 'ascii'),
  'subject-dn': (value, { parts }) => value === writeName(parts.subjectName, 'ascii'),
  fingerprint: (value, { raw }) => isFingerprintOf(value, raw),
  'not-before': (value, { notBefore }) => Date.parse(notBefore) === readTime(value),
  'not-after': (value, { notAfter }) => Date.parse(notAfter) === readTime(value),
};

/** Headers that may be left out, unless somebody needs them. */
export type StatedHeader = 'serial' | 'issuer-dn';

const prefix = 'x-ssl-client-';
const names = new Set(['verify', 'cert', ...Object.keys(statements)].map((name) => `${prefix}${name}`));

/**
 * What nginx answers when it could not verify a certificate, in OpenSSL's words. It names the last thing that it found, so
 * that a certificate which is also foreign may be called expired here; it is refused either way.
 */
const failures: ReadonlyMap<string, ProblemCode> = new Map([
  ['FAILED:certificate has expired', 'certificate.expired'],
  ['FAILED:certificate is not yet valid', 'certificate.not_yet_valid'],
  ['FAILED:unsuitable certificate purpose', 'certificate.wrong_usage'],
  ['FAILED:unsupported certificate purpose', 'certificate.wrong_usage'],
  ['FAILED:certificate revoked', 'certificate.revoked'],
]);

/**
 * Reads the certificate from the headers of the trusted proxy. Its chain has still to be proven.
 *
 * @param rawHeaders Node's `rawHeaders`, where copies and spellings are still to be seen.
 * @param needed     Headers that must not be left out.
 * @throws TrustError `certificate.missing`; `certificate.headers_disagree` for copies, other spellings, untrue and needed headers;
 *   `certificate.untrusted`, or the reason that the proxy gives, when it did not verify the certificate or none can be read
 */
export function readProxyCertificate(rawHeaders: readonly string[], needed: readonly StatedHeader[] = []): Certificate {
  const headers = new Map<string, string>();
  for (const [name, value] of pairsOf(rawHeaders)) {
    if (!names.has(plain(name))) continue;
    // A second copy, or the same name with underscores, is somebody else's and may be read by somebody else as the first.
    if (headers.has(plain(name)) || name.toLowerCase() !== plain(name))
      throw new TrustError('certificate.headers_disagree');
    headers.set(plain(name), value);
  }
  const verified = headers.get(`${prefix}verify`);
  const escaped = headers.get(`${prefix}cert`);
  if (verified === undefined || verified === 'NONE') throw new TrustError('certificate.missing');
  if (verified !== 'SUCCESS') throw new TrustError(failures.get(verified) ?? 'certificate.untrusted');
  if (escaped === undefined || escaped === '') throw new TrustError('certificate.missing');
  const certificate = parseCertificate(unescaped(escaped));
  for (const [name, isTrue] of Object.entries(statements)) {
    const value = headers.get(`${prefix}${name}`);
    const isMissing = value === undefined && needed.some((header) => header === name);
    if (isMissing || (value !== undefined && !isTrue(value, certificate))) {
      throw new TrustError('certificate.headers_disagree', { facts: { header: `${prefix}${name}` } });
    }
  }
  return certificate;
}

/**
 * Names in which proxies of all kinds speak of client certificates, and ours of itself; with any character for `-`. It reads
 * names as they were sent: every heartbeat comes by here.
 */
const speaksForClients =
  /client[^a-z0-9]?cert|(?:^|[^a-z0-9])m?(?:ssl|tls)[^a-z0-9](?:client|cert)|^x[^a-z0-9]sentinel[^a-z0-9]proxy[^a-z0-9]/i;

/** Tells whether a request claims anything that only a proxy may say, in whatever spelling. */
export function carriesCertificateHeaders(rawHeaders: readonly string[]): boolean {
  return rawHeaders.some((text, index) => index % 2 === 0 && speaksForClients.test(text));
}

function pairsOf(rawHeaders: readonly string[]): [name: string, value: string][] {
  return Array.from({ length: Math.ceil(rawHeaders.length / 2) }, (_, index) => [
    rawHeaders[index * 2] ?? '',
    rawHeaders[index * 2 + 1] ?? '',
  ]);
}

/** The name as gateways see it that turn headers into variables, where `_` and `-` are one. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-');
}

function unescaped(value: string): string {
  try {
    if (value.length <= maximumEscapedLength) return decodeURIComponent(value);
  } catch {
    // Not an escaped text: refused below.
  }
  throw new TrustError('certificate.untrusted', { detail: 'The certificate header cannot be read' });
}

/** nginx knows SHA-1 only; nothing is decided by it, since the certificate itself is here. */
function isFingerprintOf(value: string, der: Buffer): boolean {
  const hex = value.replaceAll(':', '').toLowerCase();
  const algorithm = hex.length === 40 ? 'sha1' : 'sha256';
  return createHash(algorithm).update(der).digest('hex') === hex;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** OpenSSL's `Nov 23 08:00:00 2026 GMT`, its day padded with a space; `NaN` for anything else. */
function readTime(value: string): number {
  const [, month = '', day = '', clock, year] =
    /^([A-Z][a-z]{2}) ([ \d]\d) (\d\d:\d\d:\d\d) (\d{4}) GMT$/.exec(value) ?? [];
  const number = String(months.indexOf(month) + 1).padStart(2, '0');
  return Date.parse(`${year}-${number}-${day.replace(' ', '0')}T${clock}Z`);
}

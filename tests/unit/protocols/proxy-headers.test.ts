// Certificate headers of the proxy: the PEM decides, and whatever does not agree with it is refused.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { carriesCertificateHeaders, readProxyCertificate } from '#protocols/proxy-headers.ts';
import { forgeAuthority, forgeLeaf } from './certificate-forge.ts';

type Headers = Readonly<Record<string, string>>;
const raw = (headers: Headers): string[] => Object.entries(headers).flat();
const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/certificates/${name}`, import.meta.url), 'utf8').trimEnd();
const throwsCode = (code: ProblemCode, headers: readonly string[]): void =>
  assert.throws(
    () => readProxyCertificate(headers),
    (error) => error instanceof TrustError && error.code === code,
  );

/** What nginx sends for a certificate that it has verified. */
function fromNginx(pem: string, names: { issuer: string; subject: string }): Headers {
  const x509 = new X509Certificate(pem);
  return {
    'X-SSL-Client-Verify': 'SUCCESS',
    'X-SSL-Client-Cert': encodeURIComponent(pem),
    'X-SSL-Client-Serial': x509.serialNumber,
    'X-SSL-Client-Issuer-DN': names.issuer,
    'X-SSL-Client-Subject-DN': names.subject,
    'X-SSL-Client-Fingerprint': createHash('sha1').update(x509.raw).digest('hex'),
    'X-SSL-Client-Not-Before': x509.validFrom,
    'X-SSL-Client-Not-After': x509.validTo,
  };
}

let pem: string;
let other: string;
let good: Headers;

before(async () => {
  const ca = await forgeAuthority('Proxy CA');
  const dates = { notBefore: new Date('2026-11-03T08:00:00Z'), notAfter: new Date('2027-11-23T08:00:00Z') };
  pem = (await forgeLeaf(ca, dates)).certificatePem;
  other = (await forgeLeaf(ca, { subject: [{ CN: [{ utf8String: 'device-2' }] }] })).certificatePem;
  good = fromNginx(pem, { issuer: 'CN=Proxy CA', subject: 'CN=device-1' });
});

describe('readProxyCertificate', () => {
  it('takes nothing but the whole certificate, which a responder is asked about (RV-08)', () => {
    const without = Object.fromEntries(Object.entries(good).filter(([header]) => header !== 'X-SSL-Client-Cert'));
    throwsCode('certificate.missing', raw(without));
    throwsCode('certificate.missing', raw({ ...good, 'X-SSL-Client-Cert': '' }));
    const { raw: der } = readProxyCertificate(raw(good));
    assert.ok(der.equals(parseCertificate(pem).raw));
  });

  it('asks for serial number and issuer where revocation lists are used (RV-03)', () => {
    const needed = ['serial', 'issuer-dn'] as const;
    readProxyCertificate(raw(good), needed);
    for (const name of ['X-SSL-Client-Serial', 'X-SSL-Client-Issuer-DN']) {
      const headers = raw(Object.fromEntries(Object.entries(good).filter(([header]) => header !== name)));
      readProxyCertificate(headers);
      assert.throws(
        () => readProxyCertificate(headers, needed),
        (error) => error instanceof TrustError && error.code === 'certificate.headers_disagree',
      );
    }
  });

  it('reads what nginx sends, whatever the case of the names (HB-15)', () => {
    const { fingerprintSha256 } = parseCertificate(pem);
    assert.equal(readProxyCertificate(raw(good)).fingerprintSha256, fingerprintSha256);
    const lowerCase = Object.fromEntries(Object.entries(good).map(([name, value]) => [name.toLowerCase(), value]));
    assert.equal(readProxyCertificate(raw(lowerCase)).fingerprintSha256, fingerprintSha256);
    assert.equal(good['X-SSL-Client-Not-Before'], 'Nov  3 08:00:00 2026 GMT');
  });

  it('needs only the verdict and the PEM', () => {
    const { 'X-SSL-Client-Verify': verify = '', 'X-SSL-Client-Cert': cert = '' } = good;
    readProxyCertificate(['host', 'a', 'x-ssl-client-verify', verify, 'x-ssl-client-cert', cert]);
  });

  it('takes SHA-256 as well as SHA-1, with or without colons', () => {
    for (const fingerprint of [new X509Certificate(pem).fingerprint256, parseCertificate(pem).fingerprintSha256]) {
      readProxyCertificate(raw({ ...good, 'X-SSL-Client-Fingerprint': fingerprint }));
    }
  });

  for (const mask of ['utf8only', 'nombstr']) {
    it(`compares names with everything in them, as OpenSSL writes them, string types by ${mask}`, () => {
      const name = fixture(`names-${mask}.rfc2253.txt`);
      const names = fromNginx(fixture(`names-${mask}.pem`), { issuer: name, subject: name });
      readProxyCertificate(raw(names));
      throwsCode(
        'certificate.headers_disagree',
        raw({ ...names, 'X-SSL-Client-Subject-DN': name.replace('\\,', ',') }),
      );
    });
  }

  const verdicts: readonly [verdict: string, code: ProblemCode][] = [
    ['NONE', 'certificate.missing'],
    ['FAILED:certificate has expired', 'certificate.expired'],
    ['FAILED:certificate is not yet valid', 'certificate.not_yet_valid'],
    ['FAILED:unsuitable certificate purpose', 'certificate.wrong_usage'],
    ['FAILED:certificate revoked', 'certificate.revoked'],
    ['FAILED:unable to verify the first certificate', 'certificate.untrusted'],
    ['FAILED:self-signed certificate', 'certificate.untrusted'],
    ['FAILED', 'certificate.untrusted'],
    ['', 'certificate.untrusted'],
    ['success', 'certificate.untrusted'],
    ['SUCCESS ', 'certificate.untrusted'],
    ['SUCCESS, SUCCESS', 'certificate.untrusted'],
    ['toString', 'certificate.untrusted'],
  ];
  for (const [verdict, code] of verdicts) {
    it(`refuses the verdict ${JSON.stringify(verdict)} with ${code}`, () =>
      throwsCode(code, raw({ ...good, 'X-SSL-Client-Verify': verdict })));
  }

  const changed: readonly [title: string, code: ProblemCode, change: () => Headers][] = [
    ['no headers at all', 'certificate.missing', () => ({})],
    ['no verdict', 'certificate.missing', () => ({ 'X-SSL-Client-Cert': good['X-SSL-Client-Cert'] ?? '' })],
    ['a verdict without a certificate', 'certificate.missing', () => ({ 'X-SSL-Client-Verify': 'SUCCESS' })],
    ['an empty certificate', 'certificate.missing', () => ({ ...good, 'X-SSL-Client-Cert': '' })],
    [
      'a certificate that is not escaped',
      'certificate.untrusted',
      () => ({ ...good, 'X-SSL-Client-Cert': pem.replaceAll('\n', ' ').replace('BEGIN ', '%BEGIN ') }),
    ],
    ['escapes that are none', 'certificate.untrusted', () => ({ ...good, 'X-SSL-Client-Cert': '%E0%A4%A' })],
    [
      'two certificates',
      'certificate.untrusted',
      () => ({ ...good, 'X-SSL-Client-Cert': encodeURIComponent(pem + other) }),
    ],
    [
      'a certificate that is cut off',
      'certificate.untrusted',
      () => ({ ...good, 'X-SSL-Client-Cert': (good['X-SSL-Client-Cert'] ?? '').slice(0, -9) }),
    ],
    [
      'a certificate that is escaped twice',
      'certificate.untrusted',
      () => ({ ...good, 'X-SSL-Client-Cert': encodeURIComponent(good['X-SSL-Client-Cert'] ?? '') }),
    ],
    ['a huge certificate', 'certificate.untrusted', () => ({ ...good, 'X-SSL-Client-Cert': '%41'.repeat(50_000) })],
    [
      'the certificate of another device',
      'certificate.headers_disagree',
      () => ({ ...good, 'X-SSL-Client-Cert': encodeURIComponent(other) }),
    ],
  ];
  for (const [title, code, change] of changed) {
    it(`refuses ${title}`, () => throwsCode(code, raw(change())));
  }

  const untrue: readonly [header: string, value: string][] = [
    ['Serial', '01'],
    ['Serial', ''],
    ['Serial', 'not hex'],
    ['Issuer-DN', 'CN=Another CA'],
    ['Issuer-DN', '/CN=Proxy CA'],
    ['Subject-DN', 'CN=device-2'],
    ['Subject-DN', 'CN=device-1,O=x'],
    ['Subject-DN', 'cn=device-1'],
    ['Subject-DN', ''],
    ['Fingerprint', '0'.repeat(40)],
    ['Fingerprint', '0'.repeat(64)],
    ['Fingerprint', ''],
    ['Not-Before', 'Nov  4 08:00:00 2026 GMT'],
    ['Not-Before', 'Nov 03 08:00:01 2026 GMT'],
    ['Not-Before', 'Nov  3 08:00:00 2026'],
    ['Not-Before', '2026-11-03'],
    ['Not-Before', ''],
    ['Not-After', 'Nov 23 08:00:00 2037 GMT'],
    ['Not-After', 'Xyz 23 08:00:00 2027 GMT'],
  ];
  for (const [header, value] of untrue) {
    it(`refuses ${header}: ${JSON.stringify(value)} beside this certificate`, () =>
      throwsCode('certificate.headers_disagree', raw({ ...good, [`X-SSL-Client-${header}`]: value })));
  }

  const spellings = [
    'x-ssl-client-cert',
    'X_SSL_CLIENT_CERT',
    'x-ssl-client_cert',
    'X-SSL-Client-Verify',
    'x_ssl_client_subject_dn',
    'x.ssl.client.serial',
  ];
  for (const name of spellings) {
    it(`refuses a second header spelt ${name}, before and behind, also with the same value (SA-08)`, () => {
      const value = good['X-SSL-Client-Cert'] ?? '';
      throwsCode('certificate.headers_disagree', [...raw(good), name, value]);
      throwsCode('certificate.headers_disagree', [name, value, ...raw(good)]);
    });
  }

  it('refuses a single header that is spelt with underscores', () => {
    const { 'X-SSL-Client-Cert': cert = '', ...rest } = good;
    throwsCode('certificate.headers_disagree', [...raw(rest), 'x_ssl_client_cert', cert]);
  });

  it('refuses any headers with a problem code and nothing else', () => {
    const name = fc.constantFrom(...Object.keys(good), 'x_ssl_client_cert', 'host');
    const value = fc.oneof(fc.string(), fc.constantFrom(...Object.values(good), 'SUCCESS', '%', '%00'));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), (pairs) => {
        try {
          readProxyCertificate(pairs.flat());
        } catch (error) {
          assert.ok(error instanceof TrustError, String(error));
        }
      }),
    );
  });
});

describe('carriesCertificateHeaders', () => {
  const forged = [
    'X-SSL-Client-Cert',
    'x_ssl_client_verify',
    'X-SSL-CLIENT-S-DN',
    'X-Client-Cert',
    'x_client_cert',
    'x-client-certificate',
    'Client-Cert',
    'client-cert-chain',
    'SSL-Client-Cert',
    'ssl_client_verify',
    'ssl-cert',
    'X-Forwarded-Client-Cert',
    'x-forwarded-tls-client-cert',
    'X-ARR-ClientCert',
    'x-amzn-mtls-clientcert-leaf',
    'X-Sentinel-Proxy-Secret',
    'x_sentinel_proxy_secret',
    'x.ssl.client.cert',
  ];
  for (const name of forged) {
    it(`sees ${name} (SA-08)`, () => assert.equal(carriesCertificateHeaders(['host', 'a', name, '']), true));
  }

  it('does not mind other headers, nor values that look like names', () => {
    const headers = [
      'Host',
      'x-ssl-client-cert',
      'X-Forwarded-For',
      '::1',
      'User-Agent',
      'client-cert',
      'X-Sentinel-Project',
      'a',
    ];
    assert.equal(carriesCertificateHeaders(headers), false);
    assert.equal(carriesCertificateHeaders([]), false);
  });
});

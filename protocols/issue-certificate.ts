// Issues certificates with exactly the fields that are asked for, also wrong ones: whoever calls it decides what is right.
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, KeyObject, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  type JsonNameParams,
} from '@peculiar/x509';
import type { KeyUsage } from './certificate-extensions.ts';
import { parseCertificate } from './certificate.ts';

cryptoProvider.set(webcrypto as Crypto);

export const serverAuth = '1.3.6.1.5.5.7.3.1';

const keyAlgorithms = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384' },
  Ed25519: { name: 'Ed25519' },
  'RSA-1024': rsa(1024),
  'RSA-2048': rsa(2048),
} as const;
export type KeyAlgorithm = keyof typeof keyAlgorithms;

export interface IssuedCertificate {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly keyPem: string;
}

export interface CertificateOptions {
  /** A list of relative names, or the DER of a name. */
  readonly subject: JsonNameParams | Uint8Array<ArrayBuffer>;
  /** PKCS #8 of the certificate's own key; a new one when absent. */
  readonly keyPem?: string;
  /** Kind of the new key. */
  readonly keyAlgorithm?: KeyAlgorithm;
  /** Who signs; the certificate signs itself when absent. */
  readonly issuer?: IssuedCertificate;
  /** SHA-256 when absent. */
  readonly hash?: 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512';
  readonly serialNumber: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Makes it an authority. */
  readonly authority?: { readonly pathLength?: number };
  readonly keyUsage?: readonly KeyUsage[] | undefined;
  readonly extendedKeyUsage?: readonly string[] | undefined;
  /** Host names and addresses. */
  readonly alternativeNames?: readonly string[];
  /** Any other extensions, `value` being their DER. */
  readonly otherExtensions?: readonly { oid: string; critical: boolean; value: Uint8Array<ArrayBuffer> }[];
}

export async function issueCertificate(options: CertificateOptions): Promise<IssuedCertificate> {
  const keyPem = options.keyPem ?? (await generateKey(options.keyAlgorithm ?? 'P-256'));
  const issuerKeyPem = options.issuer?.keyPem ?? keyPem;
  const hash = options.hash ?? 'SHA-256';
  const signingKey = importKey(createPrivateKey(issuerKeyPem), hash, 'sign');
  const publicKey = importKey(createPublicKey(keyPem), hash, 'verify');
  const issuerPublicKey = importKey(createPublicKey(issuerKeyPem), hash, 'verify');
  const subject = new Name(options.subject);
  // From the certificate's bytes, so that it is written there as it is here.
  const issuer = options.issuer && new Name(subjectOf(options.issuer.certificatePem));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: Buffer.from(options.serialNumber).toString('hex'),
    subject,
    issuer: issuer ?? subject,
    notBefore: options.notBefore,
    notAfter: options.notAfter,
    publicKey,
    signingKey,
    signingAlgorithm: { name: signingKey.algorithm.name, hash },
    extensions: [
      new BasicConstraintsExtension(options.authority !== undefined, options.authority?.pathLength, true),
      ...(options.keyUsage === undefined ? [] : [new KeyUsagesExtension(keyUsageFlags(options.keyUsage), true)]),
      ...(options.extendedKeyUsage === undefined ? [] : [new ExtendedKeyUsageExtension([...options.extendedKeyUsage])]),
      ...(options.alternativeNames === undefined ? [] : [alternativeNames(options.alternativeNames)]),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await AuthorityKeyIdentifierExtension.create(issuerPublicKey),
      ...(options.otherExtensions ?? []).map(({ oid, critical, value }) => new Extension(oid, critical, value)),
    ],
  });
  return { certificatePem: `${certificate.toString('pem')}\n`, keyPem };
}

/** A new private key as PKCS #8 PEM. */
export async function generateKey(algorithm: KeyAlgorithm): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithms[algorithm], true, ['sign', 'verify']);
  if (!('privateKey' in keys)) throw new TypeError(`${algorithm} is not a pair of keys`);
  return KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
}

function rsa(modulusLength: number) {
  return { name: 'RSASSA-PKCS1-v1_5', modulusLength, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' };
}

/** The same key for WebCrypto. */
export function importKey(key: KeyObject, hash: string, usage: 'sign' | 'verify'): CryptoKey {
  return key.toCryptoKey(algorithmOf(key, hash), true, [usage]) as CryptoKey;
}

function algorithmOf(key: KeyObject, hash: string): webcrypto.EcKeyImportParams | webcrypto.RsaHashedImportParams {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash };
  if (key.asymmetricKeyType !== 'ec') return { name: 'Ed25519', hash };
  return { name: 'ECDSA', namedCurve: key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256' };
}

/** The DER of its subject. */
export function subjectOf(certificatePem: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parseCertificate(certificatePem).parts.subject.raw);
}

function keyUsageFlags(usages: readonly KeyUsage[]): KeyUsageFlags {
  return usages.reduce<number>((flags, usage) => flags | KeyUsageFlags[usage], 0);
}

function alternativeNames(names: readonly string[]): Extension {
  return new SubjectAlternativeNameExtension(
    names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
  );
}

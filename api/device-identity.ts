// Who a heartbeat comes from: the certificate of its connection, or of the trusted proxy's headers, proven against our authorities.
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { Clock } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { parseCertificate, type Certificate } from '#protocols/certificate.ts';
import { requireValidAt } from '#protocols/certificate-path.ts';
import type { verifyDeviceCertificate, VerifiedCertificate } from '#protocols/device-certificate.ts';
import { carriesCertificateHeaders, readProxyCertificate, type StatedHeader } from '#protocols/proxy-headers.ts';
import type { TrustedProxy } from './client-address.ts';
import type { AnchorSet } from './trust-anchors.ts';

export interface DeviceIdentity {
  readonly project: string;
  readonly certificate: VerifiedCertificate;
}

export interface DeviceIdentification {
  /**
   * @returns null when no certificate was presented
   * @throws TrustError `proxy.untrusted` | `certificate.missing` from the proxy | `certificate.untrusted` | `certificate.expired` |
   *   `certificate.not_yet_valid` | `certificate.wrong_usage` | `certificate.headers_disagree`
   */
  identify(request: FastifyRequest): DeviceIdentity | null;
}

export interface DeviceIdentificationDeps {
  readonly anchors: () => AnchorSet;
  readonly proxy: TrustedProxy;
  /** Headers that the proxy must not leave out: with revocation lists, what they are asked by. */
  readonly neededHeaders: readonly StatedHeader[];
  readonly verify: typeof verifyDeviceCertificate;
  readonly clock: Clock;
}

/** Certificates beside the leaf that are looked at; verification itself refuses more. */
const maximumPresented = 5;

interface Proven {
  readonly against: AnchorSet;
  readonly certificate: VerifiedCertificate;
}

export function createDeviceIdentification({
  anchors,
  proxy,
  neededHeaders,
  verify,
  clock,
}: DeviceIdentificationDeps): DeviceIdentification {
  // What a chain proves does not change while the connection and our authorities stay the same. Time does, and is asked again.
  const proven = new WeakMap<Socket, Proven>();

  function ofConnection(socket: Socket): VerifiedCertificate | null {
    const set = anchors();
    const now = clock.now();
    const known = proven.get(socket);
    if (known?.against === set) {
      requireValidAt(known.certificate, now);
      return known.certificate;
    }
    const [leaf, ...presentedChain] = presentedOn(socket);
    if (leaf === undefined) return null;
    const certificate = verify({ leaf, presentedChain, anchors: set.anchors, now });
    proven.set(socket, { against: set, certificate });
    return certificate;
  }

  function ofHeaders(request: FastifyRequest): VerifiedCertificate {
    const leaf = readProxyCertificate(request.raw.rawHeaders, neededHeaders);
    return verify({ leaf, presentedChain: [], anchors: anchors().anchors, now: clock.now() });
  }

  return {
    identify(request) {
      const certificate = fromProxy(request, proxy) ? ofHeaders(request) : ofConnection(request.socket);
      if (certificate === null) return null;
      const project = anchors().projectOf.get(certificate.anchor.fingerprint);
      if (project === undefined) throw new TrustError('certificate.untrusted');
      return { project, certificate };
    },
  };
}

/**
 * Whether the headers speak for the device.
 *
 * @throws TrustError `proxy.untrusted` when somebody else than the trusted proxy sent such headers: they are never passed over
 */
function fromProxy(request: FastifyRequest, proxy: TrustedProxy): boolean {
  if (proxy.isSource(request)) return true;
  if (carriesCertificateHeaders(request.raw.rawHeaders)) throw new TrustError('proxy.untrusted');
  return false;
}

function presentedOn(socket: Socket): Certificate[] {
  if (!(socket instanceof TLSSocket)) return [];
  const presented: Certificate[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && presented.length <= maximumPresented) {
    presented.push(parseCertificate(next.raw));
    next = next.issuerCertificate;
  }
  return presented;
}

/** What is written down of a certificate. */
export function factsOf(certificate: Certificate): CertificateFacts {
  return {
    fingerprint_sha256: certificate.fingerprintSha256,
    serial_number: certificate.serialNumber,
    issuer: certificate.issuer,
    subject: certificate.subject,
    not_before: certificate.notBefore,
    not_after: certificate.notAfter,
  };
}

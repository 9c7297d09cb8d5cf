// What responders say of certificates (OCSP): asked once for all who wait, kept while it may be relied on, and asked again before that ends.
import type { Clock, Log, Random } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { authorityId, type Certificate } from '#protocols/certificate.ts';
import { type VerifiedCertificate } from '#protocols/device-certificate.ts';
import { maximumAnswerBytes, ocspResponderOf, readOcspAnswer, writeOcspRequest } from '#protocols/ocsp.ts';
import type { CertificateStatus } from '#protocols/ocsp.ts';
import type { Outbound } from '#outbound/request.ts';

export interface CertificateStatuses {
  /**
   * Requires a responder's word that the certificate is good.
   *
   * @returns at once when that is known, else a promise of it
   * @throws TrustError `certificate.revoked` | `certificate.ocsp_unavailable`, at once or by the promise
   */
  require(certificate: VerifiedCertificate): true | Promise<true>;
  /** Responders that do not answer now, and certificates that were refused for it since they do not. */
  outage(): { readonly responders: readonly string[]; readonly refused: number };
}

export interface CertificateStatusesDeps {
  /** SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH: without the issuer no answer can be proven. */
  readonly issuers: readonly Certificate[];
  /** SENTINEL_DEVICE_CERTIFICATE_OCSP_URL; else the certificate says where. */
  readonly responderUrl: string | undefined;
  readonly timeoutMs: number;
  readonly maxAgeSeconds: number;
  readonly call: Outbound;
  readonly clock: Clock;
  readonly random: Pick<Random, 'bytes'>;
  readonly log: Log;
  readonly options?: Partial<StatusOptions>;
}

interface StatusOptions {
  /** Certificates that are remembered. */
  readonly maximumKept: number;
  /** Questions at a time, and those that wait for their turn. */
  readonly maximumInFlight: number;
  readonly maximumWaiting: number;
  /** The longest that a question waits for its turn: whoever asked has given up by then. */
  readonly waitMs: number;
  /** A responder that failed is left alone for this long, then twice as long, up to the greatest. */
  readonly firstPauseMs: number;
  readonly greatestPauseMs: number;
}

const defaults: StatusOptions = {
  maximumKept: 200_000,
  maximumInFlight: 16,
  maximumWaiting: 2_000,
  waitMs: 10_000,
  firstPauseMs: 1_000,
  greatestPauseMs: 30_000,
};

/** The part of its time after which an answer is asked for again while it still serves. */
const refreshAfter = 0.75;
const maximumRefusedCounted = 100_000;

interface Kept extends CertificateStatus {
  readonly refreshAt: number;
  readonly endsAt: number;
}

interface Responder {
  pauseMs: number;
  until: number;
}

export function createCertificateStatuses(deps: CertificateStatusesDeps): CertificateStatuses {
  const { clock, log } = deps;
  const options = { ...defaults, ...deps.options };
  const issuers = new Map(deps.issuers.map((issuer) => [authorityId(issuer), issuer]));
  const kept = new Map<string, Kept>();
  const flights = new Map<string, Promise<Kept>>();
  const responders = new Map<string, Responder>();
  const refused = new Set<string>();
  const waiting = new Set<() => void>();
  let inFlight = 0;

  function remember(name: string, status: Kept): void {
    kept.delete(name);
    // The one that was written down first goes; it is asked for again when it is needed.
    const oldest = kept.size >= options.maximumKept ? kept.keys().next().value : undefined;
    if (oldest !== undefined) kept.delete(oldest);
    kept.set(name, status);
  }

  async function turn<T>(work: () => Promise<T>): Promise<T> {
    if (inFlight >= options.maximumInFlight) await place();
    else inFlight += 1;
    try {
      return await work();
    } finally {
      const [next] = waiting;
      if (next === undefined) inFlight -= 1;
      else next();
    }
  }

  /** The place of one that ends, for whoever has waited longest. */
  function place(): Promise<void> {
    const tooMany = (): TrustError => unavailable('Too many certificates are being asked about');
    if (waiting.size >= options.maximumWaiting) throw tooMany();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      waiting.delete(go);
      reject(tooMany());
    }, options.waitMs);
    const go = (): void => {
      clearTimeout(timer);
      waiting.delete(go);
      resolve();
    };
    waiting.add(go);
    return promise;
  }

  async function ask(certificate: VerifiedCertificate, issuer: Certificate, url: string): Promise<Kept> {
    requireNotPaused(url);
    const nonce = deps.random.bytes(32);
    try {
      const { status, body } = await deps.call(url, {
        method: 'POST',
        headers: { 'content-type': 'application/ocsp-request', accept: 'application/ocsp-response' },
        body: writeOcspRequest(certificate, issuer, nonce),
        timeoutMs: deps.timeoutMs,
        maximumBytes: maximumAnswerBytes,
      });
      if (status !== 200) throw unavailable(`The responder answers with HTTP status ${status}`);
      const now = clock.now();
      const answer = readOcspAnswer(body, { certificate, issuer, nonce }, { now, maxAgeSeconds: deps.maxAgeSeconds });
      responders.delete(url);
      const endsAt = Date.parse(answer.usableUntil);
      return { ...answer, endsAt, refreshAt: now.getTime() + (endsAt - now.getTime()) * refreshAfter };
    } catch (error) {
      pause(url, error);
      throw unavailable('The responder gives no answer that can be relied on', error);
    }
  }

  function requireNotPaused(url: string): void {
    const until = responders.get(url)?.until ?? 0;
    if (clock.now().getTime() < until) throw unavailable('The responder does not answer');
  }

  function pause(url: string, error: unknown): void {
    const now = clock.now().getTime();
    const known = responders.get(url);
    // Questions that were under way together fail together, and count once.
    if (known !== undefined && now < known.until) return;
    const pauseMs = Math.min(options.greatestPauseMs, known === undefined ? options.firstPauseMs : known.pauseMs * 2);
    responders.set(url, { pauseMs, until: now + pauseMs });
    log.warn({ err: error, responder: url, pause_ms: pauseMs }, 'an OCSP responder cannot be relied on');
  }

  /** One question for all who want to know about the certificate. */
  function fly(name: string, certificate: VerifiedCertificate): Promise<Kept> {
    let flight = flights.get(name);
    if (flight === undefined) {
      flight = begin(certificate)
        .then((status) => {
          remember(name, status);
          return status;
        })
        .finally(() => flights.delete(name));
      flights.set(name, flight);
    }
    return flight;
  }

  async function begin(certificate: VerifiedCertificate): Promise<Kept> {
    const [, above] = certificate.path;
    const issuer = above && issuers.get(authorityId(above));
    if (issuer === undefined)
      throw unavailable('SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH does not hold the authority of the certificate');
    const url = deps.responderUrl ?? ocspResponderOf(certificate);
    if (url === null) throw unavailable('Neither the settings nor the certificate name a responder');
    return turn(() => ask(certificate, issuer, url));
  }

  async function askFor(name: string, certificate: VerifiedCertificate): Promise<true> {
    let status: Kept;
    try {
      status = await fly(name, certificate);
    } catch (error) {
      if (refused.size < maximumRefusedCounted) refused.add(name);
      throw error;
    }
    refused.clear();
    return requireGood(status);
  }

  return {
    require(certificate) {
      const name = certificate.fingerprintSha256;
      const status = kept.get(name);
      const now = clock.now().getTime();
      if (status?.status === 'revoked') requireGood(status);
      if (status === undefined || now > status.endsAt) return askFor(name, certificate);
      if (now >= status.refreshAt)
        void fly(name, certificate).catch((error: unknown) => {
          log.debug({ err: error }, 'a status was not refreshed; the one that is kept serves until it ends');
        });
      return requireGood(status);
    },
    outage() {
      const now = clock.now().getTime();
      const silent = [...responders].filter(([, { until }]) => now < until + options.greatestPauseMs);
      return { responders: silent.map(([url]) => url), refused: refused.size };
    },
  };
}

function requireGood({ status }: CertificateStatus): true {
  if (status === 'revoked')
    throw new TrustError('certificate.revoked', { detail: 'The responder of its authority says so' });
  return true;
}

function unavailable(detail: string, cause?: unknown): TrustError {
  return new TrustError('certificate.ocsp_unavailable', { detail, ...(cause === undefined ? {} : { cause }) });
}

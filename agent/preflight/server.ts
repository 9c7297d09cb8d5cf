// The way to the server, step by step until one fails: its name, its port, TLS both ways, its answer and its clock.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { AgentConfig } from '../config.ts';
import type { Identity } from '../identity.ts';
import { createAgentTransport } from '../transport.ts';
import { error, type Finding, ok, warning } from './finding.ts';

const stepMs = 5_000;
/** More than this, and certificates or evidence may be refused for their times. */
const largestOffsetSeconds = 60;

export async function checkServer(config: AgentConfig, identity: Identity, now: () => Date): Promise<Finding[]> {
  const url = new URL(config.server_url);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = Number(url.port || 443);
  const findings: Finding[] = [];
  try {
    findings.push(await checkName(host));
    findings.push(await checkTls(host, port, identity));
    findings.push(...(await checkAnswer(config.server_url, identity, now)));
  } catch (failure) {
    if (!(failure instanceof StepFailed)) throw failure;
    findings.push(failure.finding);
  }
  return findings;
}

/** What follows a step that failed would fail too. */
class StepFailed extends Error {
  readonly finding: Finding;
  constructor(message: string, advice: string) {
    super(message);
    this.finding = error('server_url', message, advice);
  }
}

async function checkName(host: string): Promise<Finding> {
  if (isIP(host) !== 0) return ok('server_url', `${host} is an address`);
  const timeout = rejectAfter(stepMs);
  try {
    const [first] = await Promise.race([lookup(host, { all: true }), timeout.promise]);
    return ok('server_url', `${host} is ${first?.address ?? 'known'}`);
  } catch {
    throw new StepFailed(
      `${host} has no address`,
      'Correct the name in server_url, or look at the DNS of this machine.',
    );
  } finally {
    timeout.stop();
  }
}

async function checkTls(host: string, port: number, identity: Identity): Promise<Finding> {
  const socket = connect({
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    cert: identity.certificate,
    key: identity.key,
    ...(identity.ca === null ? {} : { ca: identity.ca }),
  });
  const timeout = rejectAfter(stepMs);
  try {
    await Promise.race([secured(socket), timeout.promise]);
    return ok('server_ca_path', `${host}:${port} proves itself with ${socket.getProtocol() ?? 'TLS'}`);
  } catch (failure) {
    throw stepFailure(failure, host, port);
  } finally {
    timeout.stop();
    socket.destroy();
  }
}

function secured(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });
}

const trust = 'Name the authority that issued the certificate of the server in server_ca_path.';
const listening = 'Check host and port in server_url, the firewall, and that Sentinel runs there.';

/** What went wrong on the way, by the codes of Node and OpenSSL. */
const failures: Readonly<Record<string, readonly [message: string, advice: string]>> = {
  ECONNREFUSED: ['nobody listens there', listening],
  EHOSTUNREACH: ['there is no way to it', listening],
  ENETUNREACH: ['there is no way to it', listening],
  ETIMEDOUT: ['there is no answer', listening],
  ECONNRESET: [
    'it ends the connection',
    'Check that the port speaks TLS, and that the server trusts the authority of this certificate.',
  ],
  EPROTO: ['it does not speak TLS', 'Check the port in server_url.'],
  ERR_SSL_WRONG_VERSION_NUMBER: ['it does not speak TLS', 'Check the port in server_url.'],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: ['it does not speak TLS', 'Check the port in server_url.'],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'its certificate is for another name',
    'Use the name that is in the certificate of the server.',
  ],
  CERT_HAS_EXPIRED: ['its certificate has expired', 'Have it renewed, or check the clock of this device.'],
  CERT_NOT_YET_VALID: ['its certificate is not valid yet', 'Check the clock of this device.'],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['its authority is not trusted', trust],
  SELF_SIGNED_CERT_IN_CHAIN: ['its authority is not trusted', trust],
  UNABLE_TO_GET_ISSUER_CERT: ['its authority is not trusted', trust],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['its authority is not trusted', trust],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['its authority is not trusted', trust],
};

function stepFailure(failure: unknown, host: string, port: number): StepFailed {
  const code = codeOf(failure);
  const isAlert = code.startsWith('ERR_SSL_') && code.includes('ALERT');
  const [message, advice] =
    failures[code] ??
    (isAlert
      ? (['it refuses this certificate', 'Have the server trust the authority of this certificate.'] as const)
      : ([`it cannot be reached (${code})`, listening] as const));
  return new StepFailed(`${host}:${port}: ${message}`, advice);
}

function codeOf(failure: unknown): string {
  // Where a name has several addresses, the error of the last one counts.
  const { code, errors } = failure as { code?: string; errors?: { code?: string }[] };
  return code ?? errors?.at(-1)?.code ?? 'unknown';
}

async function checkAnswer(serverUrl: string, identity: Identity, now: () => Date): Promise<Finding[]> {
  const transport = createAgentTransport(identity);
  const { host } = new URL(serverUrl);
  try {
    const answer = await transport.fetch(`${serverUrl.replace(/\/$/, '')}/api/health/live`, {
      method: 'GET',
      headers: { accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(stepMs),
    });
    const text = await answer.text();
    const isSentinel = answer.status === 200 && /^\s*\{/.test(text);
    return [
      isSentinel
        ? ok('server_url', `${host} answers as Sentinel does`)
        : warning(
            'server_url',
            `${host} answers ${answer.status}, and not as Sentinel does`,
            'Check server_url; a proxy has to let /api/health/live through for this check.',
          ),
      checkClock(answer.headers.get('date'), now()),
    ];
  } catch (failure) {
    const { hostname, port } = new URL(serverUrl);
    throw stepFailure(failure, hostname, Number(port || 443));
  } finally {
    transport.close();
  }
}

/** @param date Header of the server's answer. */
export function checkClock(date: string | null, now: Date): Finding {
  const there = Date.parse(date ?? '');
  if (Number.isNaN(there)) return warning('clock', 'The server does not say what time it is', 'Check server_url.');
  const seconds = Math.round((now.getTime() - there) / 1000);
  if (Math.abs(seconds) <= largestOffsetSeconds) return ok('clock', 'The clock agrees with the server');
  return error(
    'clock',
    `The clock is ${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} the server`,
    'Set it, for example with NTP.',
  );
}

function rejectAfter(ms: number): { readonly promise: Promise<never>; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('too slow'), { code: 'ETIMEDOUT' })), ms);
  });
  return { promise, stop: () => clearTimeout(timer) };
}

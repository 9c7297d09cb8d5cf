// What has to hold of a Sentinel behind a proxy, asked from outside: one line for each.
import type { ProblemCode } from '#contracts/problems.ts';

/** `fetch`, as far as it is needed; certificates are the caller's business. */
export type Fetch = (
  url: string,
  init: { method: string; headers?: Record<string, string>; body?: string; signal: AbortSignal },
) => Promise<{ readonly status: number; text(): Promise<string> }>;

export interface SmokeOptions {
  readonly baseUrl: string;
  /** Without a client certificate. */
  readonly fetch: Fetch;
  /** With the certificate of this device. */
  readonly device?: { readonly fetch: Fetch; readonly deviceId: string };
  readonly timeoutMs?: number;
}

export interface SmokeResult {
  readonly check: string;
  readonly passed: boolean;
  /** What came instead. */
  readonly detail: string;
}

/** What a heartbeat is answered with when its certificate was good, whatever else is the matter with it. */
const identified: readonly ProblemCode[] = [
  'heartbeat.replayed',
  'device.rejected',
  'device.retired',
  'device.other_certificate_pending',
  'rate.limited',
];

/** Runs every check; one that fails does not stop the others. */
export async function runSmokeChecks(options: SmokeOptions): Promise<SmokeResult[]> {
  const { baseUrl, fetch, device, timeoutMs = 10_000 } = options;
  const call = (via: Fetch, path: string, init: { method: string; headers?: Record<string, string>; body?: string }) =>
    via(new URL(path, baseUrl).href, { ...init, signal: AbortSignal.timeout(timeoutMs) });
  const heartbeat = (deviceId: string, headers: Record<string, string> = {}) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    // The lowest counter there is: a device that is known has used it, so nothing of it changes.
    body: JSON.stringify({ device_id: deviceId, heartbeat_counter: 1 }),
  });

  const results = [
    await judge(
      'GET /api/health/live answers 200',
      () => call(fetch, '/api/health/live', { method: 'GET' }),
      isStatus(200),
    ),
    await judge(
      'GET /api/health/ready answers 200',
      () => call(fetch, '/api/health/ready', { method: 'GET' }),
      isStatus(200),
    ),
    await judge(
      'POST /api/heartbeat without a certificate answers 401',
      () => call(fetch, '/api/heartbeat', heartbeat('smoke-test')),
      ({ status, code }) => status === 401 && code === 'certificate.missing',
    ),
    await judge(
      'POST /api/heartbeat with forged certificate headers answers 401',
      () =>
        call(
          fetch,
          '/api/heartbeat',
          heartbeat('smoke-test', { 'x-ssl-client-verify': 'SUCCESS', 'x-ssl-client-subject-dn': 'CN=smoke-test' }),
        ),
      ({ status, code }) => status === 401 && code === 'certificate.missing',
    ),
  ];
  if (device === undefined) return results;
  const probe = await judge(
    `POST /api/heartbeat as ${device.deviceId} is known by its certificate`,
    () => call(device.fetch, '/api/heartbeat', heartbeat(device.deviceId)),
    ({ status, code }) => status === 200 || status === 202 || identified.some((known) => known === code),
  );
  return [...results, probe];
}

interface Answer {
  readonly status: number;
  readonly code: string | null;
}

function isStatus(wanted: number): (answer: Answer) => boolean {
  return ({ status }) => status === wanted;
}

async function judge(
  check: string,
  ask: () => ReturnType<Fetch>,
  isGood: (answer: Answer) => boolean,
): Promise<SmokeResult> {
  try {
    const response = await ask();
    const answer = { status: response.status, code: codeOf(await response.text()) };
    return { check, passed: isGood(answer), detail: `${answer.status} ${answer.code ?? ''}`.trimEnd() };
  } catch (error) {
    const { message, cause } = error as Error;
    return { check, passed: false, detail: cause instanceof Error ? `${message}: ${cause.message}` : message };
  }
}

function codeOf(text: string): string | null {
  try {
    const { code } = JSON.parse(text) as { code?: unknown };
    return typeof code === 'string' ? code : null;
  } catch {
    return null;
  }
}

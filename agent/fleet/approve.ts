// Only for simulated devices: signs in as an approver and votes on those whose keys this very process made.
import { ApiProblem } from '#client/api-problem.ts';
import type { Client } from '#client/client.ts';
import type { Log } from '#contracts/deps.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import type { Device } from '#contracts/http/devices.ts';
import type { Judge } from './judge.ts';
import type { Decision } from './oracle.ts';

export interface DemoApproverDeps {
  readonly clientOf: (token?: string) => Client;
  readonly username: string;
  readonly password: string;
  readonly log: Log;
  readonly decisionOn: (deviceId: string) => Decision;
  /** Whether the device is about to show the key of its evidence, which is then approved with its certificate. */
  readonly awaitsKey: (deviceId: string) => boolean;
  /** Told before a vote is cast, and of its answer: what it says holds from then on. */
  readonly watch: Pick<Judge, 'decides' | 'decided'>;
}

/** Votes are on different devices, so they need not wait for each other. */
const votesAtOnce = 8;

/** Answers to a vote that leave nothing to do for this voter. */
const nothingLeft: readonly string[] = ['review.already_voted', 'review.closed'];

/**
 * Votes once for each of these devices whose open review names exactly the certificate that was made here.
 *
 * @param fingerprints By device id.
 * @param settled Told of every device that needs no further vote.
 */
export async function approveDemoDevices(
  deps: DemoApproverDeps,
  fingerprints: ReadonlyMap<string, string>,
  settled: (deviceId: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const left = fingerprints.entries();
  const failures: unknown[] = [];
  await asApprover(deps, signal, async (client) => {
    const voteForRest = async (): Promise<void> => {
      for (const [deviceId, fingerprint] of left) {
        try {
          if (await voteFor(client, { deviceId, fingerprint }, deps, signal)) await settled(deviceId);
        } catch (error) {
          failures.push(error);
        }
        if (failures.length > 0) return;
      }
    };
    // Nobody signs out while votes are on their way.
    await Promise.all(Array.from({ length: votesAtOnce }, voteForRest));
  });
  if (failures.length > 0) throw failures[0];
}

/** Signs in, and out again when the work is done. */
export async function asApprover<Result>(
  { clientOf, username, password, log }: Pick<DemoApproverDeps, 'clientOf' | 'username' | 'password' | 'log'>,
  signal: AbortSignal,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const { token } = await clientOf().admin.login({ username, password }, { signal });
  const client = clientOf(token);
  try {
    return await work(client);
  } finally {
    // Also after an abort: a session must not stay open behind a demo.
    await client.admin
      .logout()
      .catch((error: unknown) => log.warn({ err: error }, 'The demo approver stays signed in'));
  }
}

async function voteFor(
  client: Client,
  { deviceId, fingerprint }: { deviceId: string; fingerprint: string },
  { log, decisionOn, awaitsKey, watch }: DemoApproverDeps,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const device = await client.devices.get(deviceId, { signal });
    if (isDecided(device, fingerprint)) return true;
    // The device was heard of, but its review is not open yet.
    if (device.pending_review === null) return false;
    const approval = await client.approvals.get(device.pending_review.id, { signal });
    if (!isAbout(approval, deviceId, fingerprint)) {
      log.warn({ device_id: deviceId, approval: approval.id }, 'This review is about a certificate of somebody else');
      return false;
    }
    // Its actor has not heard of the key yet: another review would follow for that alone.
    if (approval.content['attestation'] === undefined && awaitsKey(deviceId)) return false;
    const decision = decisionOn(deviceId);
    const body = { decision, digest: approval.digest, reason: 'Simulated device of this demo' };
    watch.decides(deviceId, fingerprint, decision);
    const { state } = await client.approvals.review(approval.id, body, { signal });
    if (state === 'approved' || state === 'rejected' || state === 'open') watch.decided(deviceId, fingerprint, state);
    log.info({ device_id: deviceId, approval: approval.id, state }, 'Voted for a simulated device');
    return true;
  } catch (error) {
    // What is wrong with one device must not hold up the others.
    if (!(error instanceof ApiProblem) || error.status === 0 || error.code.startsWith('auth.')) throw error;
    if (nothingLeft.includes(error.code)) return true;
    log.warn({ device_id: deviceId, code: error.code }, 'No vote for this simulated device yet');
    return false;
  }
}

function isDecided(device: Device, fingerprint: string): boolean {
  if (device.retired || device.approval_state === 'rejected') return true;
  if (device.pending_review?.kind === 'hardware') return false;
  return device.approval_state === 'approved' && device.certificate?.fingerprint_sha256 === fingerprint;
}

function isAbout(approval: Approval, deviceId: string, fingerprint: string): boolean {
  const certificate = approval.content['certificate'] as { fingerprint_sha256?: unknown } | null | undefined;
  return (
    approval.subject.kind === 'device' &&
    approval.subject.id === deviceId &&
    approval.content['device_id'] === deviceId &&
    certificate?.fingerprint_sha256 === fingerprint
  );
}

// POST /api/heartbeat: schema, certificate, one verdict from Postgres, and an answer; Temporal hears of news afterwards.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import type { Clock, Json, Random } from '#contracts/deps.ts';
import { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { defaultProject } from '#contracts/ids.ts';
import { isProblemCode, TrustError, type ProblemCode } from '#contracts/problems.ts';
import { lowestTier } from '#contracts/states.ts';
import { effectiveTier } from '#machines/effective-tier.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { type Certificate } from '#protocols/certificate.ts';
import { matchCommonName } from '#protocols/device-certificate.ts';
import { writePem } from '#protocols/pem.ts';
import type { DeviceStanding, Unanswered } from '#store/attestation.ts';
import type { HeartbeatItem, HeartbeatVerdict } from '#store/heartbeat.ts';
import type { ActorNotifier } from './actor-notifier.ts';
import type { Actors, DeviceRef } from './actors.ts';
import type { Attestation, Judged } from './attestation.ts';
import { addressBlock, type TrustedProxy } from './client-address.ts';
import { factsOf, type DeviceIdentification, type DeviceIdentity } from './device-identity.ts';
import type { Batcher } from './heartbeat-batcher.ts';
import type { Metrics } from './metrics.ts';
import type { Refusals } from './refusals.ts';
import type { DeviceRevocation } from './revocation.ts';

export interface HeartbeatDeps {
  readonly identification: DeviceIdentification;
  readonly revocation: Pick<DeviceRevocation, 'require' | 'deny'>;
  readonly batcher: Pick<Batcher<HeartbeatItem, HeartbeatVerdict>, 'submit'>;
  /** Null where nobody is asked for evidence. */
  readonly attestation: Attestation | null;
  /** Of the devices whose heartbeats brought no evidence. */
  readonly asking: Pick<Batcher<Unanswered, DeviceStanding>, 'submit'>;
  readonly notifier: ActorNotifier;
  readonly actors: Pick<Actors, 'catchUp'>;
  readonly refusals: Pick<Refusals, 'record'>;
  readonly proxy: TrustedProxy;
  readonly metrics: Pick<Metrics, 'heartbeats'>;
  readonly clock: Clock;
  readonly random: Pick<Random, 'uuid'>;
  readonly policy: {
    readonly requireMtls: boolean;
    readonly requireCommonNameMatch: boolean;
    readonly requireCounters: boolean;
    /** Off: an unknown device is approved at its first valid heartbeat. */
    readonly requireApproval: boolean;
    readonly intervalSeconds: number;
  };
}

/** Also a check that failed by itself: the device was refused, and somebody should look. */
const refusedIdentity = /^(certificate|device|attestation|proxy)\.|^(heartbeat\.replayed|internal\.error)$/;
/** Devices that wait for a place among the pending ones need not ask every few seconds. */
const pendingLimitRetrySeconds = 60;

export const heartbeatRoutes: FastifyPluginAsyncTypebox<HeartbeatDeps> = async (app, deps) => {
  const { attestation, batcher, notifier, metrics, policy } = deps;

  app.post(
    '/api/heartbeat',
    {
      config: { access: 'device', idempotency: 'none', deadline: 'own' },
      schema: {
        operationId: 'postHeartbeat',
        tags: ['devices'],
        summary: 'Heartbeat of a device, over mutual TLS',
        body: HeartbeatBody,
        response: { 200: HeartbeatAnswer, 202: HeartbeatAnswer },
      },
    },
    async (request, reply) => {
      const { body } = request;
      let identity: DeviceIdentity | null = null;
      try {
        const counter = requireCounter(body.heartbeat_counter, policy.requireCounters);
        identity = deps.identification.identify(request);
        requireIdentity(identity, body.device_id, policy);
        if (identity !== null) await requireNotRevoked(identity, body.device_id, request.id);
        const judged = await judgeEvidence(body, counter, identity, request.id);
        const item = itemOf(body, counter, identity, judged && attestation ? attestation.noted(judged) : null);
        const verdict = await judge(item, request.id);
        metrics.heartbeats.inc({ outcome: verdict.code });
        const standing = await standingOf(verdict, item, judged, request.id);
        return await reply.code(verdict.code === 'accepted' ? 200 : 202).send(answerOf(verdict, standing, body));
      } catch (error) {
        await recordRefusal(error, request, identity);
        throw error;
      }
    },
  );

  /** On open connections and resumed sessions too: every heartbeat asks again. */
  async function requireNotRevoked({ project, certificate }: DeviceIdentity, id: string, requestId: string) {
    try {
      if ((await deps.revocation.require(certificate)) !== true)
        throw new TypeError('it is not known whether the certificate was revoked');
    } catch (error) {
      if ((error as { code?: unknown }).code === 'certificate.revoked')
        await deps.revocation.deny({ project, id }, certificate, requestId);
      throw error;
    }
  }

  async function judgeEvidence(
    { attestation: evidence, device_id }: HeartbeatBody,
    counter: number | null,
    identity: DeviceIdentity | null,
    requestId: string,
  ): Promise<Judged | null> {
    if (evidence === undefined || attestation === null) return null;
    return attestation.judge({
      device: { project: identity?.project ?? defaultProject, id: device_id },
      evidence,
      fingerprint: identity?.certificate.fingerprintSha256 ?? null,
      counter,
      requestId,
    });
  }

  /** Where the device stands with its evidence after this heartbeat, and what it is asked next. */
  async function standingOf(
    verdict: HeartbeatVerdict,
    { project, device_id }: HeartbeatItem,
    judged: Judged | null,
    requestId: string,
  ): Promise<DeviceStanding | null> {
    // Whoever waits to take the place of an approved device's certificate is asked nothing in its name.
    if (attestation === null || (verdict.code === 'pending' && verdict.grant?.state === 'approved')) return null;
    const own = verdict.code === 'accepted';
    if (judged === null) return deps.asking.submit({ project, device_id, own });
    const { standing } = judged;
    if (!own || !attestation.waitsForActor(standing)) return standing;
    // The actor alone raises trust: when it is quick enough, the answer says so already.
    const device = { project, id: device_id };
    try {
      await deps.actors.catchUp(device, originOf(device, requestId));
      const { grant } = await attestation.readStanding(device);
      return { ...standing, grant };
    } catch {
      notifier.notify(device, false);
      return standing;
    }
  }

  const originOf = ({ id }: DeviceRef, requestId: string) => ({
    by: { kind: 'device' as const, id },
    request_id: `${requestId}/${deps.random.uuid()}`,
  });

  async function judge(item: HeartbeatItem, requestId: string): Promise<HeartbeatVerdict> {
    const verdict = await batcher.submit(item);
    if (verdict.code !== 'accepted' && verdict.code !== 'pending') throw refusalBy(verdict.code);
    const device = { project: item.project, id: item.device_id };
    const undecided = verdict.grant === null || verdict.grant.state === 'pending';
    if (!policy.requireApproval && verdict.code === 'pending' && undecided) {
      return (await judgeOnceEnrolled(item, device, requestId)) ?? verdict;
    }
    if (verdict.signal) notifier.notify(device, verdict.first_contact);
    return verdict;
  }

  /** In the enrollment window a device is approved while it waits, if that is quick enough; else its next heartbeat finds it so. */
  async function judgeOnceEnrolled(
    item: HeartbeatItem,
    device: DeviceRef,
    requestId: string,
  ): Promise<HeartbeatVerdict | null> {
    if (!notifier.mayStart(device.project)) return null;
    try {
      await deps.actors.catchUp(device, originOf(device, requestId));
    } catch {
      notifier.notify(device, true);
      return null;
    }
    const verdict = await batcher.submit(item);
    if (verdict.code !== 'accepted' && verdict.code !== 'pending') throw refusalBy(verdict.code);
    return verdict;
  }

  function answerOf(verdict: HeartbeatVerdict, standing: DeviceStanding | null, body: HeartbeatBody): HeartbeatAnswer {
    const { tier } = effectiveTier(
      {
        // Read after the verdict, where there is one.
        grant: standing?.grant ?? verdict.grant,
        pinned_not_after: verdict.pinned_not_after,
        pinned_revoked: verdict.pinned_revoked,
        attestation: attestation === null || standing === null ? 'not_required' : attestation.stateOf(standing),
        identity_verified: verdict.identity_verified,
      },
      deps.clock.now().toISOString(),
    );
    const accepted = verdict.code === 'accepted';
    return {
      status: accepted ? 'accepted' : 'pending',
      // A certificate that waits for its review does not share in what the pinned one is trusted with.
      trust_tier: accepted ? tier : lowestTier([tier, 'observed']),
      commands: [],
      attestation_challenge: attestation === null || standing === null ? null : attestation.challengeOf(standing),
      acknowledged: verdict.acknowledged ? (body.acknowledgements ?? []).map(({ id }) => id) : [],
      next_heartbeat_seconds: policy.intervalSeconds,
    };
  }

  async function recordRefusal(
    error: unknown,
    request: FastifyRequest,
    identity: DeviceIdentity | null,
  ): Promise<void> {
    const { code } = error as { code?: unknown };
    const known = isProblemCode(code) ? code : 'internal.error';
    metrics.heartbeats.inc({ outcome: known });
    if (!refusedIdentity.test(known)) return;
    const address = deps.proxy.clientAddress(request);
    await deps.refusals.record({
      code: known,
      project: identity?.project ?? defaultProject,
      deviceId: (request.body as HeartbeatBody).device_id,
      provenFingerprint: identity?.certificate.fingerprintSha256 ?? null,
      address,
      addressBlock: addressBlock(address),
      requestId: request.id,
      details: identity === null ? {} : { presented_subject: identity.certificate.subject },
    });
  }
};

function requireIdentity(identity: DeviceIdentity | null, deviceId: string, policy: HeartbeatDeps['policy']): void {
  if (identity === null) {
    if (policy.requireMtls) throw new TrustError('certificate.missing');
    return;
  }
  if (policy.requireCommonNameMatch) matchCommonName(identity.certificate, deviceId);
}

/** Every wrong form has one code: missing, 0, −1, 1.5, "7", above 2^53 − 1, where JSON numbers begin to be rounded. */
function requireCounter(counter: unknown, required: boolean): number | null {
  if (counter === undefined && !required) return null;
  if (typeof counter === 'number' && Number.isSafeInteger(counter) && counter >= 1) return counter;
  throw new TrustError('heartbeat.counter_invalid');
}

function itemOf(
  body: HeartbeatBody,
  counter: number | null,
  identity: DeviceIdentity | null,
  attested: Json,
): HeartbeatItem {
  return {
    project: identity?.project ?? defaultProject,
    device_id: body.device_id,
    certificate: identity && describeCertificate(identity.certificate),
    counter,
    ...observe(body, identity?.certificate ?? null, attested),
    acknowledgements: (body.acknowledgements ?? []).map(({ id, status, detail = null }) => ({
      kind: 'acknowledgement',
      payload: { id, status, detail },
    })),
  };
}

type Observed = Pick<HeartbeatItem, 'observation' | 'observed_digest'>;

/** What was said last through each certificate: a steady device says the same each time. */
const observedLast = new WeakMap<Certificate, { readonly said: string; readonly observed: Observed }>();

function observe(body: HeartbeatBody, certificate: Certificate | null, attested: Json): Observed {
  if (certificate === null) return observeAnew(body, null, attested);
  const { hostname, platform, agent_version, tags, posture, directory } = body;
  // One text is one value: whatever was said in other words is digested anew.
  const said = JSON.stringify([hostname, platform, agent_version, tags, posture, directory, attested]);
  const last = observedLast.get(certificate);
  if (last?.said === said) return last.observed;
  const observed = observeAnew(body, certificate, attested);
  observedLast.set(certificate, { said, observed });
  return observed;
}

function observeAnew(body: HeartbeatBody, certificate: Certificate | null, attested: Json): Observed {
  const observation = {
    hostname: body.hostname ?? null,
    platform: body.platform ?? null,
    agent_version: body.agent_version ?? null,
    tags: [...new Set(body.tags)].toSorted(),
    posture: body.posture ?? {},
    directory: body.directory ?? {},
  };
  const digest = digestOf({
    ...observation,
    certificate: certificate?.fingerprintSha256 ?? null,
    // What the actor has to hear of, and nothing that a device which goes on answering changes.
    ...(attested === null ? {} : { attestation: attested }),
  });
  return { observation, observed_digest: digest };
}

/** A certificate stays the same object for as long as its connection lasts. */
const described = new WeakMap<Certificate, NonNullable<HeartbeatItem['certificate']>>();

function describeCertificate(certificate: Certificate): NonNullable<HeartbeatItem['certificate']> {
  let found = described.get(certificate);
  if (found === undefined) {
    found = { facts: factsOf(certificate), pem: writePem(certificate.raw, 'CERTIFICATE') };
    described.set(certificate, found);
  }
  return found;
}

function refusalBy(code: ProblemCode): TrustError {
  if (code !== 'rate.limited') return new TrustError(code);
  return new TrustError(code, {
    detail: 'As many devices as the project allows are waiting for approval',
    facts: { retry_after_seconds: pendingLimitRetrySeconds },
  });
}

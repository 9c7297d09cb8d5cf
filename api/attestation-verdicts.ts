// /api/devices/:device_id/attestation: where a device stands with its evidence, its verdicts, and one of them computed again.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { AttestationBasis, Verdict } from '#contracts/attestation.ts';
import type { Clock } from '#contracts/deps.ts';
import {
  AttestationStatus,
  AttestationVerdictList,
  ReplayQuery,
  VerdictListQuery,
  VerdictReplay,
  type VerdictResult,
} from '#contracts/http/attestation.ts';
import { DeviceParams } from '#contracts/http/devices.ts';
import { TrustError } from '#contracts/problems.ts';
import { attestationStateOf } from '#machines/attestation-standing.ts';
import { basisDigest } from '#protocols/attestation-basis.ts';
import { judgeEvidence, registersToAsk } from '#protocols/attestation-verdict.ts';
import { canonicalBytes, digestOf } from '#protocols/canonical-json.ts';
import { baselinesFor } from '#protocols/pcr-baselines.ts';
import type { DeviceStanding, ListedVerdict, StoredVerdict } from '#store/attestation.ts';
import type { Cursors } from './cursors.ts';
import { readPage, type Page } from './pages.ts';
import { projectOf } from './projects.ts';

export interface AttestationVerdictsDeps {
  /** Null when nobody is asked for evidence; what was judged before can still be read. */
  readonly basis: AttestationBasis | null;
  readonly required: boolean;
  readonly isKnown: (project: string, deviceId: string) => Promise<boolean>;
  readonly readStanding: (project: string, deviceId: string) => Promise<DeviceStanding>;
  /** The newest first. */
  readonly listVerdicts: (project: string, deviceId: string, page: Page<number>) => Promise<readonly ListedVerdict[]>;
  /** The one in force at a time. */
  readonly verdictAt: (project: string, deviceId: string, at: string) => Promise<StoredVerdict | null>;
  readonly cursors: Cursors;
  readonly clock: Clock;
}

export const attestationRoutes: FastifyPluginAsyncTypebox<AttestationVerdictsDeps> = async (app, deps) => {
  const { basis, required, clock } = deps;

  app.get(
    '/api/devices/:device_id/attestation',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'getDeviceAttestation',
        tags: ['devices'],
        summary:
          'Where a device stands with its evidence, what it is bound to, and which registers are approved for it',
        params: DeviceParams,
        response: { 200: AttestationStatus },
      },
    },
    async (request) => {
      const { device_id: id } = request.params;
      const project = projectOf(request);
      await requireKnown(project, id);
      return presentStatus(id, await deps.readStanding(project, id));
    },
  );

  app.get(
    '/api/devices/:device_id/attestation/verdicts',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'listAttestationVerdicts',
        tags: ['devices'],
        summary:
          'What the evidence of a device came to, newest first; verdicts that moved nothing are kept for some days',
        params: DeviceParams,
        querystring: VerdictListQuery,
        response: { 200: AttestationVerdictList },
      },
    },
    async (request) => {
      const { device_id: id } = request.params;
      const project = projectOf(request);
      await requireKnown(project, id);
      const { rows, next_cursor } = await readPage(
        deps.cursors,
        ['verdicts', project, id],
        request.query,
        (page: Page<number>) => deps.listVerdicts(project, id, page),
        ({ verdict }) => verdict,
      );
      return {
        items: rows.map(({ verdict, at, generation, changed, unrecorded, evidence_digest, basis_digest, result }) => ({
          verdict,
          at,
          generation,
          changed,
          unrecorded,
          evidence_digest,
          basis_digest,
          ...presentResult(result),
        })),
        next_cursor,
      };
    },
  );

  app.get(
    '/api/devices/:device_id/attestation/replay',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'replayAttestationVerdict',
        tags: ['devices'],
        summary: 'The verdict in force at a time, computed again from what is stored with it',
        params: DeviceParams,
        querystring: ReplayQuery,
        response: { 200: VerdictReplay },
      },
    },
    async (request) => {
      const { device_id: id } = request.params;
      const project = projectOf(request);
      await requireKnown(project, id);
      const at = new Date(request.query.at ?? clock.now()).toISOString();
      const stored = await deps.verdictAt(project, id, at);
      if (stored === null)
        throw new TrustError('resource.not_found', { detail: `No evidence of ${id} had been judged by ${at}` });
      return { device_id: id, at, ...replayVerdict(stored) };
    },
  );

  async function requireKnown(project: string, id: string): Promise<void> {
    if (!(await deps.isKnown(project, id)))
      throw new TrustError('resource.not_found', { detail: 'There is no such device' });
  }

  function presentStatus(
    deviceId: string,
    { grant, attestation, challenge, unrecorded }: DeviceStanding,
  ): AttestationStatus {
    const now = clock.now().toISOString();
    const tags = grant?.assigned_tags ?? [];
    const provider = basis?.provider ?? null;
    const registers = basis === null ? null : registersToAsk(basis, tags);
    return {
      device_id: deviceId,
      provider,
      required,
      state: attestationStateOf({ provider, required }, attestation, grant, now),
      standing: attestation && {
        state: attestation.state,
        generation: attestation.generation,
        confirmed_generation: grant?.attested_generation ?? null,
        verdict: attestation.verdict,
        unrecorded,
        provider: attestation.provider,
        key_id: attestation.key_id,
        binding_id: attestation.binding_id,
        manufacturer: attestation.manufacturer,
        verified_at: attestation.verified_at,
        fresh_until: attestation.fresh_until,
        code: attestation.code,
        reason: attestation.reason,
        detail: attestation.detail,
      },
      binding: grant?.binding ?? null,
      registers: registers && mapValues(registers, (indexes) => [...indexes]),
      baselines: baselinesFor(basis?.baselines ?? [], tags).map(({ matchTags, pcrs }) => ({
        match_tags: [...matchTags],
        pcrs: mapValues(pcrs, (values) => mapValues(values, (approved) => [...approved])),
      })),
      challenge:
        challenge === null || challenge.expires_at <= now
          ? null
          : { provider: challenge.provider, expires_at: challenge.expires_at },
    };
  }
};

/** The same evidence in the same circumstances, judged by the same rules at its own time. What is configured now plays no part. */
export function replayVerdict(stored: StoredVerdict): Omit<VerdictReplay, 'device_id' | 'at'> {
  const { evidence, circumstances, basis, at, result } = stored;
  const computed = judgeEvidence({ evidence, circumstances, basis, now: new Date(at) });
  const differing = [...new Set([...Object.keys(result), ...Object.keys(computed)])]
    .filter((name) => !isSame(result[name as keyof Verdict], computed[name as keyof Verdict]))
    .toSorted();
  const evidenceMatches = digestOf(evidence) === stored.evidence_digest;
  const basisMatches = basisDigest(basis) === stored.basis_digest;
  return {
    verdict: stored.verdict,
    judged_at: at,
    same: differing.length === 0 && evidenceMatches && basisMatches,
    stored: presentResult(result),
    computed: presentResult(computed),
    differing,
    evidence_digest: stored.evidence_digest,
    evidence_digest_matches: evidenceMatches,
    basis_digest: stored.basis_digest,
    basis_digest_matches: basisMatches,
  };
}

function presentResult(verdict: Verdict): VerdictResult {
  const { outcome, code, reason, detail, key_id, binding_id, manufacturer, fresh_until } = verdict;
  return { outcome, code, reason, detail, key_id, binding_id, manufacturer, fresh_until };
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.from(canonicalBytes(a)).equals(canonicalBytes(b));
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}

// What a device actor asks about its device: everything that the store knows and it has not taken into account.
import type { AttestationPolicy } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import { claimOf } from '#machines/device-attestation.ts';
import type { DeviceNews, NewsQuery } from '#machines/device-events.ts';
import { allTags, reviewContent, type HardwareClaim, type Proposal } from '#machines/identity-review.ts';
import type { Stamp } from '#machines/actor.ts';
import type { StoredDeviceNews } from '#store/device.ts';

export interface DeviceActivityDeps {
  deviceNews(query: { project: string; device_id: string; pinned: CertificateFacts | null }): Promise<StoredDeviceNews>;
  readonly policy: IdentityPolicy;
  readonly attestation: AttestationPolicy;
  digestOf(value: unknown): string;
}

export function createDeviceActivities({ deviceNews, policy, attestation, digestOf }: DeviceActivityDeps) {
  return {
    /**
     * Reads the facts about a device, and what a person would approve if asked now.
     *
     * @idempotent yes: reads only.
     */
    async fetchDeviceNews(query: NewsQuery): Promise<Omit<DeviceNews, keyof Stamp | 'type'>> {
      const { project, device_id, epoch, pinned } = query;
      const found = await deviceNews({ project, device_id, pinned });
      const reported_tags = found.observed?.reported_tags ?? [];
      const tags = allTags(reported_tags, query.assigned_tags);
      const facts = { policy: attestation, standing: found.standing };
      const hardware = claimOf(facts);
      /** Evidence of before came with another certificate, and says nothing of whoever presents this one. */
      const shownWith = (since: string): HardwareClaim | null =>
        (found.standing?.verified_at ?? '') >= since ? hardware : null;
      const propose = (certificate: CertificateFacts | null, hardware: HardwareClaim | null): Proposal | null => {
        if (certificate === null) return null;
        const { hostname = null, platform = null } = found.observed ?? {};
        const content = reviewContent({ project, device_id, epoch, certificate, tags, hostname, platform, hardware });
        return { certificate, tags, content, digest: digestOf(content), hardware };
      };
      const current = found.candidate !== null && found.candidate.generation === query.review_generation;
      return {
        policy,
        review_generation: query.review_generation,
        observed_digest: found.observed?.digest ?? null,
        reported_tags,
        inbox_through: found.inbox_through,
        revoked: found.revoked,
        candidate:
          current && found.candidate ? propose(found.candidate.certificate, shownWith(found.candidate.seen_at)) : null,
        pinned: propose(pinned, hardware),
        attestation: facts,
      };
    },
  };
}
export type DeviceActivities = ReturnType<typeof createDeviceActivities>;

// What a person approves about a device's identity, and how many people it takes.
import type { AttestationBinding } from '#contracts/attestation.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { JsonObject } from '#contracts/deps.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';

/** A key, the hardware that it lives in as far as that is known, and who made that, as evidence has proven them. */
export interface HardwareClaim extends AttestationBinding {
  readonly manufacturer: string | null;
}

/** Something to be approved, and the digest that names exactly this. */
export interface Proposal {
  readonly certificate: CertificateFacts;
  readonly tags: readonly string[];
  readonly content: JsonObject;
  /** SHA-256 over the RFC 8785 form of `content`, lower-case hex. */
  readonly digest: string;
  /** What the device is bound to with it. */
  readonly hardware?: HardwareClaim | null;
}

/** The content of a review: everything that a decision is about, and nothing that changes by itself. */
export function reviewContent(facts: {
  readonly project: string;
  readonly device_id: string;
  readonly epoch: number;
  readonly certificate: CertificateFacts;
  readonly tags: readonly string[];
  readonly hostname: string | null;
  readonly platform: string | null;
  /** Null without evidence, which leaves the content as it was before there was attestation. */
  readonly hardware: HardwareClaim | null;
}): JsonObject {
  const { fingerprint_sha256, serial_number, issuer, subject, not_before, not_after } = facts.certificate;
  return {
    project: facts.project,
    device_id: facts.device_id,
    epoch: facts.epoch,
    certificate: { fingerprint_sha256, serial_number, issuer, subject, not_before, not_after },
    tags: [...facts.tags],
    hostname: facts.hostname,
    platform: facts.platform,
    ...(facts.hardware === null ? {} : { attestation: { ...facts.hardware } }),
  };
}

/** Every tag that counts for sensitivity: a tag that the device reports can only make approval harder. */
export function allTags(reported: readonly string[], assigned: readonly string[]): readonly string[] {
  return [...new Set([...reported, ...assigned])].toSorted();
}

export function isSensitive(tags: readonly string[], policy: IdentityPolicy): boolean {
  return tags.some((tag) => policy.sensitive_tags.includes(tag));
}

/** How many distinct people must approve a device with these tags. */
export function requiredApprovals(tags: readonly string[], policy: IdentityPolicy): number {
  return isSensitive(tags, policy) ? Math.max(1, policy.sensitive_approvals) : 1;
}

// How much of a certificate's life is left, and whether it is time for a new one: from its own end, and never from a guess.
import type { Settings } from '#contracts/settings.ts';
import type { RotationAdvice } from '#contracts/states.ts';

export type CertificatePolicy = Pick<
  Settings,
  'SENTINEL_CERT_EXPIRING_SOON_DAYS' | 'SENTINEL_ROTATION_RECOMMENDED_DAYS' | 'SENTINEL_ROTATION_REQUIRED_DAYS'
>;

export interface CertificateLife {
  /** From its last second on, as in the effective tier. */
  readonly expired: boolean;
  readonly expiring_soon: boolean;
  readonly rotation: RotationAdvice;
}

export const dayMs = 24 * 60 * 60 * 1000;

/** @param not_after end of validity, RFC 3339 */
export function certificateLife(not_after: string, now: string, policy: CertificatePolicy): CertificateLife {
  const leftMs = Date.parse(not_after) - Date.parse(now);
  const isWithin = (days: number): boolean => leftMs < days * dayMs;
  return {
    expired: leftMs <= 0,
    expiring_soon: isWithin(policy.SENTINEL_CERT_EXPIRING_SOON_DAYS),
    rotation: isWithin(policy.SENTINEL_ROTATION_REQUIRED_DAYS)
      ? 'required'
      : isWithin(policy.SENTINEL_ROTATION_RECOMMENDED_DAYS)
        ? 'recommended'
        : 'none',
  };
}

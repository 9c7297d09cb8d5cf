// What a filter of the fleet lets through, in words.
import type { DeviceFilterQuery } from '#contracts/http/devices.ts';
import type { DeviceOrder } from '#contracts/states.ts';
import { deviceApprovalWords, livenessWords, rotationWords, tierWords } from './states.ts';

export const orderWords: Record<DeviceOrder, string> = {
  device_id: 'By name',
  first_seen: 'Newest first',
  certificate_end: 'Certificate ends first',
};

/** `Restricted, offline, tag kiosk`, or that there is none. */
export function filterWords(query: DeviceFilterQuery): string {
  const { trust_tier, approval_state, liveness, rotation, pending_review, retired, tag, search, order } = query;
  const words = [
    trust_tier && tierWords[trust_tier].label,
    approval_state && deviceApprovalWords[approval_state].label,
    liveness && livenessWords[liveness].label,
    rotation && (rotation === 'none' ? 'No rotation due' : rotationWords[rotation].label),
    pending_review === undefined ? undefined : pending_review ? 'Under review' : 'Not under review',
    retired === undefined ? undefined : retired ? 'Retired' : 'In service',
    tag && `Tag ${tag}`,
    search && `“${search}”`,
    order && order !== 'device_id' && orderWords[order],
  ].filter((word): word is string => typeof word === 'string');
  return words.length === 0 ? 'The whole fleet' : words.join(', ');
}

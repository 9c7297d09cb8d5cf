// Why a device stands where it stands: each fact that bounds its trust, in words, from the device object alone.
import type { Device } from '#contracts/http/devices.ts';
import { localTime, relativeTime } from './time.ts';
import { attestationWords, kindWords, type Tone } from './states.ts';

export interface Fact {
  readonly about: 'identity' | 'certificate' | 'attestation' | 'liveness' | 'awaited';
  readonly tone: Tone;
  readonly text: string;
}

/** The facts, those that hold the tier down first. */
export function explain(device: Device, nowMs: number): Fact[] {
  const facts = [
    ...awaited(device, nowMs),
    identity(device),
    ...certificate(device, nowMs),
    attestation(device),
    liveness(device),
  ];
  const weight: Record<Tone, number> = { bad: 0, watch: 1, info: 2, quiet: 3, good: 4 };
  return facts.toSorted((a, b) => weight[a.tone] - weight[b.tone]);
}

function identity(device: Device): Fact {
  const about = 'identity';
  if (device.retired) return { about, tone: 'watch', text: 'It was taken out of service. A reset takes it back.' };
  switch (device.approval_state) {
    case 'approved':
      return { about, tone: 'good', text: 'People have approved its identity.' };
    case 'pending':
      return { about, tone: 'watch', text: 'Nobody has approved its identity yet.' };
    case 'rejected':
      return { about, tone: 'bad', text: 'Its identity was rejected. It is refused until somebody resets it.' };
    case 'expired':
      return { about, tone: 'quiet', text: 'Its enrollment lapsed without a decision. Its next heartbeat asks again.' };
  }
}

function awaited(device: Device, nowMs: number): Fact[] {
  const review = device.pending_review;
  if (review === null) return [];
  const missing = Math.max(review.required - review.approvals, 0);
  const who = missing === 1 ? 'one more approver' : `${missing} more approvers`;
  const until = `until ${localTime(review.expires_at)} (${relativeTime(review.expires_at, nowMs)})`;
  const votes = `${review.approvals} of ${review.required} ${review.required === 1 ? 'approval' : 'approvals'}`;
  const text =
    missing === 0
      ? `It has ${votes}; the decision is being recorded.`
      : `It has ${votes} and waits for ${who}, ${until}.`;
  return [{ about: 'awaited', tone: 'watch', text: `${kindWords[review.kind].label} under review. ${text}` }];
}

function certificate(device: Device, nowMs: number): Fact[] {
  const about = 'certificate';
  const pinned = device.certificate;
  if (device.trust_tier === 'revoked') {
    return [
      {
        about,
        tone: 'bad',
        text: 'Its certificate was revoked and is refused for ever. A new certificate opens a review.',
      },
    ];
  }
  if (pinned === null) {
    return [{ about, tone: 'quiet', text: 'No certificate is pinned; the one that is approved will be.' }];
  }
  const ends = relativeTime(pinned.not_after, nowMs);
  if (Date.parse(pinned.not_after) <= nowMs) {
    return [{ about, tone: 'bad', text: `Its certificate expired ${ends}. Issue a new one.` }];
  }
  if (pinned.rotation === 'required' || pinned.expiring_soon) {
    return [{ about, tone: 'watch', text: `Its certificate is valid but expires ${ends}: rotate it.` }];
  }
  return [{ about, tone: 'good', text: `Its certificate is pinned and valid, and expires ${ends}.` }];
}

function attestation(device: Device): Fact {
  const { state, reason } = device.attestation;
  const words = attestationWords[state];
  return {
    about: 'attestation',
    tone: words.tone,
    text: reason === null ? words.meaning : `${words.meaning} (${reason})`,
  };
}

function liveness(device: Device): Fact {
  const about = 'liveness';
  const note = 'That does not change its tier.';
  switch (device.liveness) {
    case 'online':
      return { about, tone: 'good', text: 'It reports on time.' };
    case 'stale':
      return { about, tone: 'watch', text: `Its heartbeats are overdue. ${note}` };
    case 'offline':
      return {
        about,
        tone: 'quiet',
        text:
          device.last_seen_at === null ? `It has never been seen. ${note}` : `It has not been heard for long. ${note}`,
      };
  }
}

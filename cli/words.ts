// How states and tiers look in a terminal: always the word, with a colour where there are colours.
import type { TrustTier } from '#contracts/states.ts';
import type { Cell } from './table.ts';
import type { Style } from './terminal.ts';

const tierStyles: Record<TrustTier, Style> = {
  trusted: 'green',
  monitored: 'cyan',
  observed: 'yellow',
  restricted: 'red',
  revoked: 'red',
};
const good = ['approved', 'online', 'verified', 'ok', 'success', 'approve', 'true'];
const waiting = ['pending', 'open', 'deciding', 'stale', 'challenged', 'degraded', 'expired', 'cancelled'];
const bad = ['rejected', 'failed', 'refused', 'reject', 'false'];

export function tierCell(tier: TrustTier): Cell {
  return { text: tier, style: tierStyles[tier] };
}

export function stateCell(state: string): Cell {
  if (good.includes(state)) return { text: state, style: 'green' };
  if (waiting.includes(state)) return { text: state, style: 'yellow' };
  if (bad.includes(state)) return { text: state, style: 'red' };
  return { text: state, style: 'dim' };
}

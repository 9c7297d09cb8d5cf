// Warns of a certificate whose time is not now, or soon over: when the agent starts, and once a day while it runs.
import type { Clock, Log } from '#contracts/deps.ts';
import type { Identity } from './identity.ts';

export const dayMs = 86_400_000;
/** From here on a certificate ends soon. */
export const expiresSoonDays = 14;

/** @returns To be called whenever there is an occasion; it speaks on the first of each day (UTC). */
export function createDateWatch({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
  let lookedOn = '';
  return (used: Identity, waiting: Identity | null): void => {
    const now = clock.now();
    const today = now.toISOString().slice(0, 10);
    if (today === lookedOn) return;
    lookedOn = today;
    const warning = warningOf(used, waiting !== null, now);
    if (warning === null) return;
    const fields = { not_before: used.notBefore.toISOString(), not_after: used.notAfter.toISOString() };
    log.warn({ ...fields, advice: warning.advice }, warning.message);
  };
}

function warningOf({ notBefore, notAfter }: Identity, hasWaiting: boolean, now: Date) {
  const haveNew = hasWaiting
    ? 'Have the new one approved, which is in its place already'
    : 'Have a new one issued and put it in the place of this one';
  if (notBefore > now) return { message: 'The certificate is not valid yet', advice: 'Check the clock of this device' };
  if (notAfter <= now) return { message: 'The certificate has expired', advice: haveNew };
  if (notAfter.getTime() - now.getTime() < expiresSoonDays * dayMs)
    return { message: 'The certificate expires soon', advice: haveNew };
  return null;
}

// What an agent tells its log and its service manager: what has changed, and now and then how much was steady.
import type { TrustTier } from '#contracts/states.ts';
import type { Log } from '#contracts/deps.ts';
import { isProblemCode, problems } from '#contracts/problems.ts';
import type { HeartbeatOutcome } from './heartbeat-schedule.ts';

export interface Report {
  outcome(outcome: HeartbeatOutcome): void;
  /** The trust that the server puts in this device, as an answer said it. */
  tier(tier: TrustTier): void;
}

export interface ReportDeps {
  readonly deviceId: string;
  readonly log: Log;
  /** One short line on how things are, for the service manager. */
  readonly onStatus: (status: string) => void;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsedMs: () => number;
}

const summaryEveryMs = 3_600_000;

export function createReport({ deviceId, log, onStatus, elapsedMs }: ReportDeps): Report {
  let lastStatus = '';
  let lastTier: TrustTier | null = null;
  let count = { accepted: 0, pending: 0, refused: 0, unanswered: 0 };
  let summaryMs = elapsedMs();

  return {
    outcome(outcome) {
      const { kind, status, level, fields, advice } = describe(outcome, deviceId);
      count[kind] += 1;
      if (status === lastStatus) log.debug(fields, status);
      else {
        log[level](advice === null ? fields : { ...fields, advice }, status);
        onStatus(status);
      }
      lastStatus = status;
      const now = elapsedMs();
      if (now - summaryMs < summaryEveryMs) return;
      log.info({ ...count, minutes: Math.round((now - summaryMs) / 60_000) }, 'Heartbeats since the last summary');
      count = { accepted: 0, pending: 0, refused: 0, unanswered: 0 };
      summaryMs = now;
    },
    tier(tier) {
      if (tier !== lastTier)
        log.info({ trust_tier: tier, before: lastTier }, `The trust tier of this device is ${tier}`);
      lastTier = tier;
    },
  };
}

interface Description {
  readonly kind: 'accepted' | 'pending' | 'refused' | 'unanswered';
  readonly level: 'info' | 'warn';
  readonly status: string;
  readonly fields: Readonly<Record<string, string | number | null>>;
  readonly advice: string | null;
}

/** An outcome in words; outcomes with the same words are no news. */
export function describe(outcome: HeartbeatOutcome, deviceId: string): Description {
  switch (outcome.kind) {
    case 'answered': {
      const fields = { next_heartbeat_seconds: outcome.nextSeconds };
      if (outcome.status === 'accepted')
        return { kind: 'accepted', level: 'info', status: 'Heartbeats are accepted', fields, advice: null };
      const advice = `Approve it in the console, or with: sentinel device approve ${deviceId}`;
      return { kind: 'pending', level: 'info', status: 'Waiting for approval', fields, advice };
    }
    case 'refused': {
      const { code, status, retryAfterSeconds } = outcome;
      const known = isProblemCode(code) ? problems[code] : null;
      return {
        kind: 'refused',
        level: 'warn',
        status: `Heartbeats are refused: ${known?.title ?? code} (${code})`,
        fields: { code, status, retry_after_seconds: retryAfterSeconds },
        advice: known?.advice ?? null,
      };
    }
    case 'failed':
      return {
        kind: 'unanswered',
        level: 'warn',
        status: 'Heartbeats do not get through',
        fields: { reason: outcome.reason },
        advice: 'If this goes on, sentinel-agent preflight finds the step on the way to the server that fails',
      };
  }
}

// What readiness looks at: every part by the least that shows that it works. Open to anybody, so it says how things are and no names.
import type { Clock } from '#contracts/deps.ts';
import type { AssertionKeysState } from './assertion-keys.ts';
import type { EvidenceJudgeState } from './evidence-judge.ts';
import type { Check, Checks } from './health.ts';
import type { RevocationListsState } from './revocation-lists.ts';

export interface HealthCheckDeps {
  /** Rejects when the database does not answer. */
  readonly pingDatabase: () => Promise<unknown>;
  /** Rejects when Temporal does not answer. */
  readonly pingTemporal: () => Promise<unknown>;
  /** When a worker last asked for work, as far as Temporal knows; null when none did. Rejects when it cannot be asked. */
  readonly workerSeenAt: () => Promise<Date | null>;
  readonly sealLagSeconds: () => Promise<number>;
  readonly sealLagLimitSeconds: number;
  readonly sealerStatus: () => Promise<SealerStatus>;
  /** Whether an audit event could be written now. */
  readonly isAuditWritable: () => Promise<boolean>;
  /** Whether the database lacks what a checkpoint outside of it says, as after a restore. */
  readonly isRewritten: () => Promise<boolean>;
  /** Devices whose news has waited for longer than it takes to be taken in, counted up to `most`. */
  readonly waitingNews: (most: number) => Promise<number>;
  /** Actors whose workflow tasks fail again and again. Rejects when Temporal cannot be asked. */
  readonly stuckActors: () => Promise<number>;
  readonly trustAnchors: () => number;
  readonly revocationLists: () => RevocationListsState;
  readonly assertionKeys: () => AssertionKeysState;
  /** Null when nobody is asked for evidence. */
  readonly evidenceJudge: () => EvidenceJudgeState | null;
  /** OCSP responders that do not answer; null when none has to be asked. */
  readonly silentResponders: () => number | null;
  /** End of the certificate that the API shows; null when it has none of its own. */
  readonly tlsNotAfter: Date | null;
  readonly clock: Clock;
}

export interface SealerStatus {
  readonly last_success_at: string | null;
  readonly last_checkpoint_at: string | null;
  readonly has_error: boolean;
}

/** Workers ask again at least this often, and Temporal remembers for some minutes that they did. */
const workerSilentSeconds = 120;
/** The sealer notes every half minute that it is there. */
const sealerSilentSeconds = 120;
export const newsCountedTo = 1_000;
const tlsWarningDays = 14;
/** What costs more than a ping is asked this often, however often somebody polls. */
const keptMs = 5_000;
/** A worker that is not there yet is soon, as after a start. */
const missingKeptMs = 500;
const newsKeptMs = 15_000;
const stuckKeptMs = 15_000;

export function createHealthChecks(deps: HealthCheckDeps): Checks {
  const { clock } = deps;
  const age = (at: Date | string): number =>
    Math.max(0, Math.round((clock.now().getTime() - new Date(at).getTime()) / 1000));
  const sealer = kept(deps.sealerStatus, () => keptMs, clock);
  const worker = kept(deps.workerSeenAt, (seenAt) => (seenAt === null ? missingKeptMs : keptMs), clock);
  const news = kept(
    () => deps.waitingNews(newsCountedTo),
    () => newsKeptMs,
    clock,
  );
  const audit = kept(deps.isAuditWritable, (writable) => (writable ? keptMs : missingKeptMs), clock);
  const stuck = kept(deps.stuckActors, () => stuckKeptMs, clock);
  return {
    async database() {
      await deps.pingDatabase();
      return ok('answers');
    },
    async temporal() {
      try {
        await deps.pingTemporal();
        return ok('answers');
      } catch {
        return degraded('cannot be reached; heartbeats are answered, decisions wait');
      }
    },
    async worker() {
      const seenAt = await worker().catch(() => undefined);
      if (seenAt === undefined) return degraded('unknown: Temporal cannot be asked');
      if (seenAt === null) return degraded('no worker asks for work; decisions wait');
      const seconds = age(seenAt);
      if (seconds > workerSilentSeconds) return degraded(`last seen ${seconds} s ago; decisions wait`);
      return ok(`last seen ${seconds} s ago`);
    },
    async audit() {
      return (await audit())
        ? ok('can be written')
        : degraded('cannot be written; changes are refused, reads and heartbeats go on');
    },
    async news() {
      const waiting = await news();
      if (waiting === 0) return ok('nothing waits for an actor');
      const count = waiting >= newsCountedTo ? `${newsCountedTo} or more` : String(waiting);
      return degraded(`news of ${count} ${waiting === 1 ? 'device waits' : 'devices wait'} for longer than a minute`);
    },
    async actors() {
      const count = await stuck().catch(() => null);
      if (count === null) return degraded('unknown: Temporal cannot be asked');
      if (count === 0) return ok('none is stuck');
      return degraded(`${count} ${count === 1 ? 'does' : 'do'} not go on; what was decided last holds`);
    },
    async sealing() {
      const seconds = Math.round(await deps.sealLagSeconds());
      if (seconds > deps.sealLagLimitSeconds)
        return degraded(`${seconds} s behind; changes are refused until events are sealed again`);
      if (await deps.isRewritten())
        return degraded(
          'the trail is not the one that was signed; changes are refused until somebody has looked into it',
        );
      const { last_success_at, has_error } = await sealer();
      if (has_error) return degraded(`${seconds} s behind; the last round failed, and the sealer’s log says why`);
      if (last_success_at !== null && age(last_success_at) > sealerSilentSeconds)
        return degraded(`${seconds} s behind; the sealer was last seen ${age(last_success_at)} s ago`);
      return ok(`${seconds} s behind`);
    },
    async checkpoints() {
      const { last_checkpoint_at } = await sealer();
      return ok(last_checkpoint_at === null ? 'none yet' : `the last one was signed ${age(last_checkpoint_at)} s ago`);
    },
    async trust_anchors() {
      const count = deps.trustAnchors();
      return count > 0 ? ok(`${count} in force`) : degraded('there is none, so every device certificate is refused');
    },
    ...(deps.revocationLists().files === 0 && deps.silentResponders() === null
      ? {}
      : { revocation: async () => judgeRevocation(deps.revocationLists(), deps.silentResponders(), clock.now()) }),
    ...(deps.assertionKeys().files === 0
      ? {}
      : { trust_assertions: async () => judgeAssertionKeys(deps.assertionKeys()) }),
    ...(deps.evidenceJudge() === null ? {} : { attestation: async () => judgeJudge(deps.evidenceJudge()) }),
    ...(deps.tlsNotAfter === null ? {} : { tls_certificate: async () => judgeTls(deps.tlsNotAfter, clock.now()) }),
  };
}

function judgeRevocation(lists: RevocationListsState, silent: number | null, now: Date): Check {
  const { files, problems, outdated, older, nextUpdate } = lists;
  if (silent !== null && silent > 0)
    return degraded('an OCSP responder does not answer; devices are refused as the answers that are kept run out');
  if (files === 0) return ok('the responders answer');
  const [problem] = problems;
  if (problem !== undefined) return degraded(`a list cannot be relied on, so devices may be refused: ${problem}`);
  if (outdated.length > 0) return degraded('a list is out of date, so the devices of its authority are refused');
  if (nextUpdate === null) return degraded('there is none, so every device is refused');
  const [replaced] = older;
  if (replaced !== undefined)
    return degraded(
      `a file holds an older list of ${replaced.kept.issuer} than before; the newer one stays in force until it runs out`,
    );
  const minutes = Math.floor((Date.parse(nextUpdate) - now.getTime()) / 60_000);
  return ok(`current for ${minutes < 2 * 1440 ? `${minutes} min` : `${Math.floor(minutes / 1440)} d`}`);
}

function judgeAssertionKeys({ files, unreadable, signs }: AssertionKeysState): Check {
  if (!signs) return degraded('the key that signs cannot be read, so no assertion is made');
  if (unreadable > 0) return degraded('a key cannot be read, so what it signed is not verified');
  return ok(files === 1 ? 'one key' : `${files} keys`);
}

function judgeJudge(state: EvidenceJudgeState | null): Check {
  if (state === null || state.failures === 0) return ok('evidence is judged');
  return degraded(`what judges evidence ended ${state.failures} times in a row; what it was given was refused`);
}

function judgeTls(notAfter: Date | null, now: Date): Check {
  const days = Math.floor(((notAfter?.getTime() ?? 0) - now.getTime()) / 86_400_000);
  if (days < 0) return degraded('has ended; clients refuse to connect');
  return days < tlsWarningDays ? degraded(`ends in ${days} d`) : ok(`ends in ${days} d`);
}

const ok = (detail: string): Check => ({ status: 'ok', detail });
const degraded = (detail: string): Check => ({ status: 'degraded', detail });

/** Asks once for all who want to know in that time; a failure is not kept. */
function kept<T>(ask: () => Promise<T>, keepMs: (answer: T) => number, clock: Clock): () => Promise<T> {
  let last: { until: number; readonly answer: Promise<T> } | null = null;
  return () => {
    if (last !== null && clock.now().getTime() < last.until) return last.answer;
    const asked = { until: clock.now().getTime() + keptMs, answer: ask() };
    last = asked;
    asked.answer.then(
      (answer) => (asked.until = clock.now().getTime() + keepMs(answer)),
      () => {
        if (last === asked) last = null;
      },
    );
    return asked.answer;
  };
}

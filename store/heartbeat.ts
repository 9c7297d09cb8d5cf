// Heartbeats: one statement accepts the steady ones of a batch, another judges the rest, and a third writes down what was new.
// The rules are in the function `heartbeat_batch`; `heartbeat_steady` is the short way for whoever says nothing new.
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { Json, JsonObject } from '#contracts/deps.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import type { DeviceState, TrustTier } from '#contracts/states.ts';
import { isContention, isDataError, withProblemCode } from './errors.ts';
import type { Store } from './store.ts';

/** A heartbeat whose sender is known. */
export interface HeartbeatItem {
  readonly project: string;
  readonly device_id: string;
  /** Null when device mTLS is off and no certificate was presented: then nothing is pinned and nothing acknowledged. */
  readonly certificate: { readonly facts: CertificateFacts; readonly pem: string } | null;
  /** Null when counters are not required and none was sent. */
  readonly counter: number | null;
  readonly observation: {
    readonly hostname: string | null;
    readonly platform: string | null;
    readonly agent_version: string | null;
    readonly tags: readonly string[];
    readonly posture: JsonObject;
    readonly directory: JsonObject;
  };
  /** Digest of the observation and the certificate: while it stays the same, neither is sent to the database. */
  readonly observed_digest: string;
  readonly acknowledgements: readonly { readonly kind: string; readonly payload: Json }[];
}

export interface HeartbeatVerdict {
  readonly code: 'accepted' | 'pending' | ProblemCode;
  /** The device was not known before. */
  readonly first_contact: boolean;
  /** Whether the actor should look; never for a refusal. */
  readonly signal: boolean;
  /** Whether the acknowledgements are written down. */
  readonly acknowledged: boolean;
  /** False when nothing proved who this is: the tier is at most `observed`. */
  readonly identity_verified: boolean;
  readonly grant: { readonly state: DeviceState; readonly tier: TrustTier; readonly epoch: number } | null;
  readonly pinned_not_after: string | null;
  readonly pinned_revoked: boolean;
}

export interface HeartbeatOptions {
  /** Devices of a project that may wait for approval. */
  readonly pendingLimit: number;
  /** A steady device signals its actor at most this often; 0 = every time. */
  readonly signalIntervalSeconds: number;
  /** A device that was not heard for longer was silent, which is remembered when it is heard again. */
  readonly silenceSeconds: number;
}

/** News is announced again after this long, until the grant shows that it was taken in. */
const newsIntervalSeconds = 5;
/** Entries that wait for the actor of one device; the device keeps what is not acknowledged and sends it again. */
const inboxLimit = 1000;

/**
 * Judges a batch and writes down what follows from the verdicts.
 *
 * @param items at most one a device
 * @returns one verdict for each item, in their order
 * @throws TrustError `service.unavailable` when the database is away, or twice locked by somebody else
 */
export async function heartbeatBatch(
  store: Store,
  items: readonly HeartbeatItem[],
  options: HeartbeatOptions,
  now: string,
): Promise<readonly HeartbeatVerdict[]> {
  requireDistinct(items);
  try {
    const steady = await acceptSteady(store, items, options, now);
    const others = items.filter((item) => !steady.has(item));
    const judged = await judge(store, others, options, now, true);
    await writeNews(store, others, judged, now);
    const verdicts = new Map(others.map((item, i) => [item, toVerdict(judged[i], item.certificate !== null)]));
    return items.map((item) => steady.get(item) ?? (verdicts.get(item) as HeartbeatVerdict));
  } catch (error) {
    throw withProblemCode(error);
  }
}

/** Two items of one device would be judged against the same counter. */
function requireDistinct(items: readonly HeartbeatItem[]): void {
  const names = new Set(items.map(({ project, device_id }) => `${project}/${device_id}`));
  if (names.size !== items.length) throw new TypeError('a batch holds at most one heartbeat of a device');
}

/**
 * Accepts those that say nothing new, in one update. Whatever it does not accept is not touched by it.
 *
 * @returns the verdicts of those that were accepted
 */
async function acceptSteady(
  store: Store,
  items: readonly HeartbeatItem[],
  options: HeartbeatOptions,
  now: string,
): Promise<ReadonlyMap<HeartbeatItem, HeartbeatVerdict>> {
  const verdicts = new Map<HeartbeatItem, HeartbeatVerdict>();
  const likely = items.flatMap((item) => likelySteady(item) ?? []);
  if (likely.length === 0) return verdicts;
  const column = (of: (one: LikelySteady) => string): string => likely.map(of).join('\n');
  let accepted: string | null;
  try {
    const { rows } = await store.pool.query<{ accepted: string | null }>({
      name: 'heartbeat_steady',
      text: 'SELECT heartbeat_steady($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS accepted',
      values: [
        column(({ item }) => item.project),
        column(({ item }) => item.device_id),
        column(({ facts }) => facts.fingerprint_sha256),
        column(({ facts }) => facts.issuer),
        column(({ facts }) => facts.serial_number),
        likely.map(({ item }) => item.counter),
        column(({ item }) => item.observed_digest),
        now,
        options.signalIntervalSeconds,
        options.silenceSeconds,
      ],
    });
    accepted = rows[0]?.accepted ?? null;
  } catch (error) {
    // One that does not fit, or that somebody else has locked, is told from the others below.
    if (isDataError(error) || isContention(error)) return verdicts;
    throw error;
  }
  for (const line of accepted?.split('\n') ?? []) {
    const [place, tier, epoch, pinnedNotAfter] = line.split(',');
    const one = likely[Number(place) - 1];
    if (one === undefined || tier === undefined || epoch === undefined)
      throw new TypeError('the answer has another form');
    verdicts.set(one.item, {
      code: 'accepted',
      first_contact: false,
      signal: false,
      acknowledged: true,
      identity_verified: true,
      grant: { state: 'approved', tier: tier as TrustTier, epoch: Number(epoch) },
      pinned_not_after: pinnedNotAfter === undefined ? null : new Date(pinnedNotAfter).toISOString(),
      pinned_revoked: false,
    });
  }
  return verdicts;
}

interface LikelySteady {
  readonly item: HeartbeatItem;
  readonly facts: CertificateFacts;
}

/** What is sent as one line of a text has to be one, and to be there. */
const oneLine = /^[^\n]+$/;

/** @returns null for whoever brings something that has to be written down, or is not identified */
function likelySteady(item: HeartbeatItem): LikelySteady | null {
  if (item.certificate === null || item.acknowledgements.length > 0) return null;
  const { facts } = item.certificate;
  const texts = [item.project, item.device_id, item.observed_digest];
  return texts.every((text) => oneLine.test(text)) && isOneLineEach(facts) ? { item, facts } : null;
}

const looked = new WeakMap<CertificateFacts, boolean>();

/** The facts of a certificate stay the same object for as long as its connection lasts. */
function isOneLineEach(facts: CertificateFacts): boolean {
  let found = looked.get(facts);
  if (found === undefined) {
    found = [facts.fingerprint_sha256, facts.issuer, facts.serial_number].every((text) => oneLine.test(text));
    looked.set(facts, found);
  }
  return found;
}

interface JudgedRow {
  readonly code: HeartbeatVerdict['code'] | 'retry';
  readonly first_contact: boolean;
  readonly signal: boolean;
  readonly needs_observation: boolean;
  readonly needs_candidate: boolean;
  readonly acknowledged: boolean;
  readonly state: DeviceState | null;
  readonly tier: TrustTier | null;
  readonly epoch: number | null;
  readonly pinned_not_after: string | null;
  readonly pinned_revoked: boolean;
}

/** What no database can take, with a verdict of its own, so that one device cannot spoil the batch of the others. */
const unfit: JudgedRow = {
  code: 'request.invalid',
  first_contact: false,
  signal: false,
  needs_observation: false,
  needs_candidate: false,
  acknowledged: false,
  state: null,
  tier: null,
  epoch: null,
  pinned_not_after: null,
  pinned_revoked: false,
};

async function judge(
  store: Store,
  items: readonly HeartbeatItem[],
  options: HeartbeatOptions,
  now: string,
  again: boolean,
): Promise<readonly JudgedRow[]> {
  if (items.length === 0) return [];
  let rows: readonly JudgedRow[];
  try {
    rows = await callBatch(store, items, options, now);
  } catch (error) {
    if (isContention(error) && again) return judge(store, items, options, now, false);
    if (!isDataError(error)) throw error;
    if (items.length === 1) {
      store.log.warn({ err: error, device_id: items[0]?.device_id }, 'a heartbeat does not fit the database');
      return [unfit];
    }
    const middle = items.length >> 1;
    return [
      ...(await judge(store, items.slice(0, middle), options, now, again)),
      ...(await judge(store, items.slice(middle), options, now, again)),
    ];
  }
  const raced = rows.flatMap((row, i) => (row.code === 'retry' ? [i] : []));
  if (raced.length === 0) return rows;
  const second = await callBatch(
    store,
    raced.flatMap((i) => items[i] ?? []),
    options,
    now,
  );
  return rows.map((row, i) => second[raced.indexOf(i)] ?? row);
}

async function callBatch(
  store: Store,
  items: readonly HeartbeatItem[],
  options: HeartbeatOptions,
  now: string,
): Promise<readonly JudgedRow[]> {
  const acknowledgements = items.flatMap(({ acknowledgements: sent }, i) =>
    sent.map(({ kind, payload }, position) => ({ item: i + 1, position, kind, payload })),
  );
  const { rows } = await store.pool.query<JudgedRow>({
    name: 'heartbeat_batch',
    text: `SELECT code, first_contact, signal, needs_observation, needs_candidate, acknowledged, state, tier, epoch,
             pinned_not_after, pinned_revoked
           FROM heartbeat_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
    values: [
      items.map(({ project }) => project),
      items.map(({ device_id }) => device_id),
      items.map(({ certificate }) => certificate?.facts.fingerprint_sha256 ?? null),
      items.map(({ certificate }) => certificate?.facts.issuer ?? null),
      items.map(({ certificate }) => certificate?.facts.serial_number ?? null),
      items.map(({ counter }) => counter),
      items.map(({ observed_digest }) => observed_digest),
      acknowledgements.length === 0 ? null : JSON.stringify(acknowledgements),
      now,
      options.pendingLimit,
      options.signalIntervalSeconds,
      newsIntervalSeconds,
      inboxLimit,
      options.silenceSeconds,
    ],
  });
  return rows;
}

/** The verdicts stand whatever becomes of this: what could not be written is asked for again by the next heartbeat. */
async function writeNews(
  store: Store,
  items: readonly HeartbeatItem[],
  judged: readonly JudgedRow[],
  now: string,
): Promise<void> {
  const news = items.filter((_, i) => judged[i]?.needs_observation || judged[i]?.needs_candidate);
  if (news.length === 0) return;
  const isAsked = (item: HeartbeatItem, what: 'needs_observation' | 'needs_candidate') =>
    judged[items.indexOf(item)]?.[what] === true;
  try {
    await callNews(store, news, isAsked, now);
  } catch (error) {
    store.log.warn({ err: error, devices: news.length }, 'news of heartbeats was not written; trying one by one');
    if (!isDataError(error) && !isContention(error)) return;
    for (const item of news) {
      await callNews(store, [item], isAsked, now).catch((cause: unknown) => {
        store.log.warn({ err: cause, device_id: item.device_id }, 'news of a heartbeat was not written');
      });
    }
  }
}

async function callNews(
  store: Store,
  items: readonly HeartbeatItem[],
  isAsked: (item: HeartbeatItem, what: 'needs_observation' | 'needs_candidate') => boolean,
  now: string,
): Promise<void> {
  const observations = items
    .filter((item) => isAsked(item, 'needs_observation'))
    .map(({ project, device_id, observed_digest, certificate, observation: { tags, ...observation } }) => ({
      project_id: project,
      device_id,
      observed_digest,
      certificate: certificate?.facts ?? null,
      reported_tags: tags,
      ...observation,
    }));
  const candidates = items
    .filter((item) => isAsked(item, 'needs_candidate'))
    .map(({ project, device_id, certificate }) => ({
      project_id: project,
      device_id,
      fingerprint: certificate?.facts.fingerprint_sha256,
      certificate: certificate?.facts,
      pem: certificate?.pem,
    }));
  await store.pool.query('SELECT heartbeat_news($1, $2, $3)', [
    JSON.stringify(observations),
    JSON.stringify(candidates),
    now,
  ]);
}

function toVerdict(row: JudgedRow | undefined, identity_verified: boolean): HeartbeatVerdict {
  if (row === undefined) throw new TypeError('a verdict is missing');
  const { code, first_contact, signal, acknowledged, state, tier, epoch, pinned_not_after, pinned_revoked } = row;
  return {
    // A device that was brought in twice at once, and whose row is gone again: it may simply ask again.
    code: code === 'retry' ? 'service.unavailable' : code,
    first_contact,
    signal,
    acknowledged,
    identity_verified,
    grant: state === null || tier === null || epoch === null ? null : { state, tier, epoch },
    pinned_not_after: pinned_not_after === null ? null : new Date(pinned_not_after).toISOString(),
    pinned_revoked,
  };
}

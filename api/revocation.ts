// What revocation lists do to devices: whoever is listed is denied for ever, and what would cut off much of the fleet is announced first.
import type { AuditEntry } from '#contracts/audit.ts';
import type { Clock, Log, Random } from '#contracts/deps.ts';
import { defaultProject } from '#contracts/ids.ts';
import { isProblemCode, TrustError } from '#contracts/problems.ts';
import { authorityId, type Certificate } from '#protocols/certificate.ts';
import { type VerifiedCertificate } from '#protocols/device-certificate.ts';
import { isCurrent, isListed, type RevocationList } from '#protocols/crl.ts';
import type { PinnedCertificate, Revocation } from '#store/denylist.ts';
import type { DeviceRef } from './actors.ts';
import type { CertificateStatuses } from './certificate-status.ts';
import type { OlderList, RevocationLists } from './revocation-lists.ts';
import type { AnchorSet } from './trust-anchors.ts';
import { withinLimit } from './within-limit.ts';

export interface DeviceRevocation {
  /**
   * Refuses a certificate that was revoked, or of which that is not certain.
   *
   * @returns at once when everything is known, else a promise of it
   * @throws TrustError `certificate.revoked` | `certificate.crl_unavailable` | `certificate.ocsp_unavailable`
   */
  require(certificate: VerifiedCertificate): true | Promise<true>;
  /** Denies the certificate of this device for ever, since its authority revoked it. Never rejects: it is refused anyway. */
  deny(device: DeviceRef, certificate: VerifiedCertificate, requestId: string): Promise<void>;
  /** Told that lists have changed. */
  listsChanged(): void;
  /** Resolves when what was told has been acted upon. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

export interface DeviceRevocationDeps {
  readonly lists: Pick<RevocationLists, 'require' | 'current' | 'state'>;
  /** Null when no responder is asked. */
  readonly statuses: CertificateStatuses | null;
  /** For a status that is asked for: the responder's own limit, and its turn. */
  readonly statusLimitMs: number;
  readonly anchors: () => AnchorSet;
  /** Authorities beside the anchors that may sign lists: SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH. */
  readonly issuers: readonly Certificate[];
  /** Pinned certificates that are not denied, by device, after one. */
  readonly pinned: (project: string, after: string | null, limit: number) => Promise<readonly PinnedCertificate[]>;
  readonly countPinned: (project: string) => Promise<number>;
  readonly revoke: (project: string, revocation: Revocation) => Promise<unknown>;
  readonly notify: (device: DeviceRef) => void;
  readonly audit: (project: string, entry: AuditEntry) => Promise<void>;
  /** SENTINEL_REVOCATION_BLAST_RADIUS_PERCENT. */
  readonly blastRadiusPercent: number;
  readonly clock: Clock;
  readonly random: Pick<Random, 'uuid'>;
  readonly log: Log;
  /** How often it is asked whether lists have run out. */
  readonly watchMs?: number;
}

const by = { kind: 'system', id: 'revocation-list' } as const;
const pageSize = 1_000;
/** Denials that are remembered, so that a device that keeps asking costs one transaction and not one each time. */
const maximumRemembered = 10_000;

export function createDeviceRevocation(deps: DeviceRevocationDeps): DeviceRevocation {
  const { lists, anchors, clock, log, watchMs = 5_000 } = deps;
  const denied = new Set<string>();
  const announced = new Map<string, string>();
  let sweeping: Promise<void> | null = null;
  let announcing: Promise<void> | null = null;
  let again = false;
  let closed = false;
  let watched = '';

  async function deny(device: DeviceRef, fingerprint: string, reason: string, requestId: string): Promise<void> {
    try {
      await deps.revoke(device.project, {
        device_id: device.id,
        fingerprint_sha256: fingerprint,
        reason,
        by,
        request_id: requestId,
      });
      deps.notify(device);
    } catch (error) {
      // A device that is not known here has nothing that could be taken away.
      const code = (error as { code?: unknown }).code;
      if (code === 'resource.not_found' || code === 'device.no_certificate') return;
      if (isProblemCode(code)) log.warn({ err: error, device_id: device.id }, 'a listed certificate was not denied');
      else log.error({ err: error, device_id: device.id }, 'a listed certificate was not denied');
      denied.delete(fingerprint);
    }
  }

  /** Whose lists count for the devices of a project. */
  function authoritiesOf(project: string): ReadonlySet<string> {
    const set = anchors();
    const own = set.anchors.filter(({ fingerprint }) => set.projectOf.get(fingerprint) === project);
    return new Set([...own.map(({ certificate }) => certificate), ...deps.issuers].map(authorityId));
  }

  async function sweepProject(project: string, requestId: string): Promise<void> {
    const trusted = authoritiesOf(project);
    const known = lists.current().filter(({ authority }) => trusted.has(authority));
    const now = clock.now();
    const devicesOf = new Map<string, number>();
    const listed: { device: DeviceRef; fingerprint: string; list: RevocationList }[] = [];
    let devices = 0;
    let uncovered = 0;
    let after: string | null = null;
    for (;;) {
      const page: readonly PinnedCertificate[] = await deps.pinned(project, after, pageSize);
      for (const { device_id, fingerprint_sha256, issuer, serial_number } of page) {
        devices += 1;
        devicesOf.set(issuer, (devicesOf.get(issuer) ?? 0) + 1);
        const ofIssuer = known.filter((list) => list.issuer === issuer);
        const list = ofIssuer.find((candidate) => isListed(candidate, serial_number));
        if (list !== undefined)
          listed.push({ device: { project, id: device_id }, fingerprint: fingerprint_sha256, list });
        else if (!ofIssuer.some((candidate) => isCurrent(candidate, now))) uncovered += 1;
      }
      after = page.at(-1)?.device_id ?? null;
      if (page.length < pageSize || closed) break;
    }
    const { problems, outdated, older } = lists.state(now);
    const sources = [...new Set(listed.map(({ list }) => nameOf(list)))].slice(0, 10);
    await announce(project, 'certificates_listed', { affected: listed.length, devices, sources }, requestId);
    await announce(
      project,
      'lists_unavailable',
      {
        // What a list says that cannot be read is not known, so it is taken to concern all.
        affected: problems.length > 0 ? devices - listed.length : uncovered,
        devices,
        sources: [...problems, ...outdated].slice(0, 10),
      },
      requestId,
    );
    await announceOlder(
      project,
      older.filter(({ kept }) => trusted.has(kept.authority)),
      devicesOf,
      requestId,
    );
    for (const { device, fingerprint, list } of listed) {
      if (closed) return;
      await deny(device, fingerprint, `listed by ${nameOf(list)}`, requestId);
    }
  }

  /** Names the cause before its effects: whoever looks for why half of the fleet is refused finds it first. */
  async function announce(
    project: string,
    cause: string,
    found: { affected: number; devices: number; sources: readonly string[] },
    requestId: string,
  ): Promise<void> {
    const key = `${project}/${cause}`;
    const percent = found.devices === 0 ? 0 : (found.affected / found.devices) * 100;
    if (percent <= deps.blastRadiusPercent) {
      announced.delete(key);
      return;
    }
    const said = JSON.stringify(found.sources);
    if (announced.get(key) === said) return;
    const entry: AuditEntry = {
      occurred_at: clock.now().toISOString(),
      category: 'operations',
      action: 'revocation.blast_radius_exceeded',
      actor: by,
      subject: { kind: 'project', id: project },
      outcome: 'success',
      details: { cause, ...found, percent: Math.round(percent * 10) / 10, limit_percent: deps.blastRadiusPercent },
      request_id: requestId,
    };
    log.error(entry.details, 'revocation cuts off more of the fleet than the limit');
    await deps.audit(project, entry);
    announced.set(key, said);
  }

  /**
   * Says of each list whose file holds an older one now that somebody has put it there. It cuts nobody off, as long as the
   * newer one is current, but may be somebody's attempt to take revocations back.
   */
  async function announceOlder(
    project: string,
    older: readonly OlderList[],
    devicesOf: ReadonlyMap<string, number>,
    requestId: string,
  ): Promise<void> {
    const prefix = `${project}/list_older/`;
    const present = new Map<string, OlderList>(
      older.map((pair) => [`${prefix}${pair.kept.authority}/${JSON.stringify(pair.kept.scope)}`, pair]),
    );
    for (const key of announced.keys()) if (key.startsWith(prefix) && !present.has(key)) announced.delete(key);
    for (const [key, { found, kept }] of present) {
      const said = JSON.stringify([found.number, found.thisUpdate, kept.number, kept.thisUpdate]);
      if (announced.get(key) === said) continue;
      await deps.audit(project, {
        occurred_at: clock.now().toISOString(),
        category: 'operations',
        action: 'revocation.list_older',
        actor: by,
        subject: { kind: 'project', id: project },
        outcome: 'refused',
        details: {
          issuer: kept.issuer,
          number: found.number,
          this_update: found.thisUpdate,
          number_in_force: kept.number,
          this_update_in_force: kept.thisUpdate,
          in_force_until: kept.nextUpdate,
          devices_of_issuer: devicesOf.get(kept.issuer) ?? 0,
        },
        request_id: requestId,
      });
      announced.set(key, said);
    }
  }

  async function sweepAll(): Promise<void> {
    do {
      again = false;
      const requestId = deps.random.uuid();
      for (const project of new Set(anchors().projectOf.values())) {
        if (closed) return;
        await sweepProject(project, requestId);
      }
    } while (again);
  }

  function sweep(): void {
    again = true;
    sweeping ??= sweepAll()
      .catch((error: unknown) => {
        watched = '';
        log.error({ err: error }, 'devices were not compared with the revocation lists; this is tried again');
      })
      .finally(() => (sweeping = null));
  }

  /** Certificates that are refused since responders are silent; each is one of the fleet, of whatever project. */
  async function announceOutage(): Promise<void> {
    const { responders, refused } = deps.statuses?.outage() ?? { responders: [], refused: 0 };
    if (refused === 0 && !announced.has(`${defaultProject}/responders_unavailable`)) return;
    let devices = 0;
    for (const project of new Set(anchors().projectOf.values())) devices += await deps.countPinned(project);
    const found = { affected: Math.min(refused, devices), devices, sources: responders.slice(0, 10) };
    await announce(defaultProject, 'responders_unavailable', found, deps.random.uuid());
  }

  /** Lists run out by themselves, responders fall silent, and a sweep that failed is made up for. */
  function watch(): void {
    announcing ??= announceOutage()
      .catch((error: unknown) => log.warn({ err: error }, 'an outage was not announced; this is tried again'))
      .finally(() => (announcing = null));
    const { files, problems, outdated, older } = lists.state(clock.now());
    const pairs = older.map(({ found, kept }) => [kept.authority, found.thisUpdate, kept.thisUpdate]);
    const state = JSON.stringify([problems, outdated, pairs, [...anchors().projectOf]]);
    if (files === 0 || state === watched) return;
    watched = state;
    sweep();
  }

  const timer = setInterval(watch, watchMs);
  timer.unref();

  return {
    require(certificate) {
      if (lists.require(certificate, clock.now()) !== true) throw unsaid();
      const good = deps.statuses === null ? true : deps.statuses.require(certificate);
      if (good === true) return true;
      return withinLimit(deps.statusLimitMs, async () => requireSaid(await good), late);
    },
    async deny(device, certificate, requestId) {
      const { fingerprintSha256: fingerprint } = certificate;
      if (denied.has(fingerprint)) return;
      if (denied.size >= maximumRemembered) denied.clear();
      denied.add(fingerprint);
      await deny(device, fingerprint, `revoked by ${certificate.issuer}`, requestId);
    },
    listsChanged: sweep,
    settled: async () => (await sweeping) ?? undefined,
    async close() {
      closed = true;
      clearInterval(timer);
      await Promise.all([sweeping, announcing]);
    },
  };
}

/** What says nothing has not said that it holds. */
function requireSaid(good: unknown): true {
  if (good !== true) throw unsaid();
  return true;
}

const unsaid = (): TypeError => new TypeError('it is not known whether the certificate was revoked');
const late = (): TrustError =>
  new TrustError('certificate.ocsp_unavailable', { detail: 'The responder gives no answer in time' });

function nameOf({ issuer, number }: RevocationList): string {
  return number === null ? `the revocation list of ${issuer}` : `revocation list ${number} of ${issuer}`;
}

// The life of one device over some days: the real machines of the device and its approvals, on a clock of its own.
import type { CommitRequirement } from '#contracts/actor.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import type { AnyCall } from '#machines/actor.ts';
import { approvalActor, type ApprovalContext, type ApprovalEvent, type ApprovalInput } from '#machines/approval.ts';
import { deviceActor } from '#machines/device-actor.ts';
import type { DeviceContext } from '#machines/device-context.ts';
import type { DeviceEvent, NewsQuery } from '#machines/device-events.ts';
import type { Proposal } from '#machines/identity-review.ts';
import { ModelActor, type Host, type Said } from './model-actor.ts';
import type { Rates } from './rates.ts';
import { Ledger, type Cost } from './temporal-cost.ts';

const dayMs = 86_400_000;
/** A commit or a call takes this long; nothing here depends on how long. */
/** Calls that `workflows/activities.ts` makes within the workflow task. */
const withinTask: ReadonlySet<string> = new Set(['news.fetch', 'approval.read', 'approval.open', 'votes.confirm']);
const stepMs = 50;
const epoch = Date.parse('2027-01-01T00:00:00.000Z');
const policy: IdentityPolicy = {
  require_new_device_approval: true,
  review_ttl_seconds: 604_800,
  sensitive_tags: ['payments'],
  sensitive_approvals: 2,
};
const people = ['ann', 'bob', 'cleo'] as const;
const newsIntervalMs = 5_000;

export interface Life {
  readonly cost: Cost;
  /** What the device came to. */
  readonly state: string;
  readonly approvals: number;
}

/**
 * Lives one device.
 *
 * @param draw numbers from 0 up to 1, the same ones for the same device in every run
 */
export function live(days: number, rates: Rates, draw: () => number): Life {
  return new DeviceLife(days, rates, draw).run();
}

interface Timed {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

interface Tracked {
  readonly actor: ModelActor<DeviceContext, DeviceEvent> | ModelActor<ApprovalContext, ApprovalEvent>;
  armedFor: string | null;
  shown: string;
}

class DeviceLife implements Host {
  private readonly ledger = new Ledger();
  private readonly endMs: number;
  private readonly rates: Rates;
  private readonly draw: () => number;
  private readonly due: Timed[] = [];
  private readonly tracked: Tracked[] = [];
  private readonly approvals = new Map<string, ModelActor<ApprovalContext, ApprovalEvent>>();
  private readonly consumed = new Set<string>();
  private readonly denied = new Set<string>();
  private readonly tags: readonly string[];
  private device: ModelActor<DeviceContext, DeviceEvent> | null = null;
  private nowMs = 0;
  private order = 0;
  private ids = 0;
  private observed = 0;
  private certificates = 1;
  private candidate: { readonly name: string; readonly generation: number } | null = null;
  private silentUntilMs = 0;
  private signalledAtMs = -Infinity;

  constructor(days: number, rates: Rates, draw: () => number) {
    this.endMs = days * dayMs;
    this.rates = rates;
    this.draw = draw;
    this.tags = draw() < rates.sensitive ? ['payments'] : ['edge'];
  }

  run(): Life {
    // Devices of a fleet were there before: each begins at some time of the first day.
    this.after(this.draw() * dayMs, () => this.firstContact());
    for (;;) {
      const next = this.due.shift();
      if (next === undefined || next.atMs > this.endMs) break;
      this.countHeartbeats(next.atMs);
      this.nowMs = next.atMs;
      next.run();
      this.lookAtActors();
    }
    return { cost: this.ledger.cost, state: this.device?.row?.value ?? 'unknown', approvals: this.approvals.size };
  }

  stamped(event: Said, by?: string, request?: string): Said {
    const who = by === undefined ? { kind: 'system', id: 'actor' } : { kind: 'user', id: by };
    return { at: this.now(), by: who, uuid: this.id(), request_id: request ?? null, ...event };
  }

  later({ kind, name }: Parameters<Host['later']>[0], run: () => void): void {
    this.after(stepMs, () => {
      // A call and its answer are one.
      if (kind === 'call' && withinTask.has(name)) this.ledger.looked();
      else if (kind !== 'answer') this.ledger.activity();
      run();
    });
  }

  holds(requirements: readonly CommitRequirement[]): boolean {
    for (const requirement of requirements) {
      if (requirement.kind !== 'approval.consumed') continue;
      if (this.consumed.has(requirement.approval_id)) return false;
      this.consumed.add(requirement.approval_id);
    }
    return true;
  }

  private firstContact(): void {
    const { rates } = this;
    this.device = new ModelActor<DeviceContext, DeviceEvent>(
      this,
      deviceActor,
      { project: 'default', id: 'd1' },
      (call) => this.performForDevice(call),
    );
    this.track(this.device);
    this.present();
    this.often(rates.changes_a_day, () => {
      this.observed += 1;
      this.signal(newsIntervalMs);
    });
    this.often(rates.silences_a_day, () => {
      this.silentUntilMs = this.nowMs + this.waitFor(rates.silence_hours * 3_600_000);
    });
    this.often(1 / rates.certificate_days, () => this.present(this.certificates + 1));
    this.often(rates.revocations_a_year / 365, () => this.revoke());
    this.steady();
  }

  private steady(): void {
    // A steady heartbeat signals when the last signal is that long ago, or with the first one after a silence.
    const waitMs = this.signalledAtMs + this.rates.signal_seconds * 1000 - this.nowMs;
    if (waitMs <= 0 && !this.isSilent()) this.signal(0);
    const nextMs = this.signalledAtMs + this.rates.signal_seconds * 1000;
    const wakeMs = Math.max(nextMs, this.silentUntilMs, this.nowMs + this.rates.heartbeat_seconds * 1000);
    this.after(wakeMs - this.nowMs, () => this.steady());
  }

  private signal(soonestMs: number): void {
    if (this.isSilent()) return;
    const waitMs = this.signalledAtMs + soonestMs - this.nowMs;
    if (waitMs > 0) return this.after(waitMs, () => this.signal(0));
    this.signalledAtMs = this.nowMs;
    this.ledger.signalled();
    this.device?.tell({ type: 'news.announced' });
  }

  /** Presents a certificate until the row knows what has become of it. */
  private present(number = this.certificates): void {
    this.certificates = number;
    const row = this.device?.row;
    const generation = row?.context.review_generation ?? 0;
    const refused = row?.value === 'rejected' || row?.value === 'retired';
    if (!refused) this.candidate = { name: `c${number}`, generation };
    this.signal(newsIntervalMs);
  }

  private revoke(): void {
    const pinned = this.device?.row?.context.pinned;
    if (!pinned) return;
    this.denied.add(pinned.fingerprint_sha256);
    this.signal(newsIntervalMs);
    this.after(this.draw() * dayMs, () => this.present(this.certificates + 1));
  }

  private performForDevice({ name, input }: AnyCall): Said | null {
    if (name === 'news.fetch') return { type: 'news.fetched', ...this.news(input as NewsQuery) };
    if (name === 'approval.open') return this.open(input as ApprovalInput);
    const { approval_id } = input as { approval_id: string };
    if (name === 'approval.read') return { type: 'approval.read', approval_id, approval: this.read(approval_id) };
    this.ledger.signalled();
    this.approvals.get(approval_id)?.tell({ type: 'subject.withdrawn', reason: 'over' });
    return null;
  }

  private open(input: ApprovalInput): null {
    const open = this.approvals.get(input.id);
    if (open !== undefined) {
      this.ledger.signalled();
      open.tell({ type: 'subject.changed', ...input });
      return null;
    }
    this.ledger.started();
    const approval = new ModelActor<ApprovalContext, ApprovalEvent>(this, approvalActor, input, (call) =>
      this.performForApproval(input.id, call),
    );
    this.approvals.set(input.id, approval);
    this.track(approval, true);
    this.letPeopleDecide(input.id, input.required);
    return null;
  }

  private letPeopleDecide(id: string, required: number): void {
    const { decision_hours, forgotten, rejections } = this.rates;
    const chance = this.draw();
    if (chance < forgotten) return;
    const rejects = chance < forgotten + rejections;
    let atMs = 0;
    for (const voter of people.slice(0, rejects ? 1 : required)) {
      atMs += this.waitFor(decision_hours * 3_600_000);
      this.after(atMs, () => {
        this.ledger.updated();
        const decision = rejects ? 'reject' : 'approve';
        const vote = { type: 'vote.cast', voter, decision, reason: null, digest: null };
        this.approvals.get(id)?.tell(vote, voter, `${id} ${voter}`);
      });
    }
    if (!rejects) return;
    this.after(atMs + dayMs, () => {
      if (this.device?.row?.value !== 'rejected') return;
      this.ledger.updated();
      this.device.tell({ type: 'device.reset', reason: 'again' }, 'olga', `${id} reset`);
      this.after(this.rates.heartbeat_seconds * 1000, () => this.present(this.certificates + 1));
    });
  }

  private performForApproval(id: string, { name, input }: AnyCall): Said {
    if (name === 'votes.confirm')
      return { type: 'votes.confirmed', standing: (input as { voters: readonly string[] }).voters, dropped: [] };
    this.ledger.updated();
    this.device?.tell({ type: 'approval.closed', approval_id: id });
    return { type: 'outcome.delivered' };
  }

  private read(id: string): object | null {
    const row = this.approvals.get(id)?.row;
    if (!row) return null;
    const { votes, digest } = row.context;
    const by = (decision: string): string[] =>
      votes.filter((vote) => vote.decision === decision).map((vote) => vote.by);
    const state = row.value === 'deciding' ? 'open' : row.value;
    return { state, digest, approvers: by('approve'), rejected_by: by('reject')[0] ?? null, reason: null };
  }

  private news({ review_generation, pinned }: NewsQuery): Omit<Said, 'type'> {
    const current = this.candidate?.generation === review_generation ? this.candidate.name : null;
    return {
      policy,
      review_generation,
      observed_digest: `observed ${this.observed}`,
      reported_tags: this.tags,
      inbox_through: 0,
      revoked: [...this.denied],
      candidate: current === null ? null : this.propose(certificate(current)),
      pinned: pinned && this.propose(pinned),
    };
  }

  private propose(presented: CertificateFacts): Proposal {
    const digest = `${presented.fingerprint_sha256} ${this.tags.join()}`;
    return { certificate: presented, tags: this.tags, content: { digest }, digest };
  }

  private track(actor: Tracked['actor'], counted = false): void {
    if (!counted) this.ledger.started();
    this.tracked.push({ actor, armedFor: null, shown: '' });
  }

  /** Arms timers and shows states as the driver does after each transition. */
  private lookAtActors(): void {
    for (const entry of this.tracked) {
      const { snapshot } = entry.actor;
      const { deadlines, tier = '' } = snapshot.context as { deadlines: Record<string, string>; tier?: string };
      const [earliest = null] = Object.values(deadlines).toSorted();
      if (earliest !== entry.armedFor) {
        this.ledger.timerChanged(entry.armedFor !== null, earliest !== null);
        entry.armedFor = earliest;
        if (earliest !== null) this.after(Date.parse(earliest) - epoch - this.nowMs, () => this.fire(entry, earliest));
      }
      const shown = `${snapshot.value} ${tier}`;
      if (shown !== entry.shown) this.ledger.shown();
      entry.shown = shown;
    }
  }

  private fire(entry: Tracked, at: string): void {
    if (entry.armedFor !== at) return;
    entry.armedFor = null;
    this.ledger.timerFired();
    entry.actor.wake(this.now());
  }

  /** Again and again, as often as the rate says, at times that nobody foresees. */
  private often(timesADay: number, happen: () => void): void {
    if (timesADay <= 0) return;
    this.after(this.waitFor(dayMs / timesADay), () => {
      happen();
      this.often(timesADay, happen);
    });
  }

  /** A wait of this length on average, as between independent events. */
  private waitFor(averageMs: number): number {
    return -Math.log(1 - this.draw()) * averageMs;
  }

  private after(ms: number, run: () => void): void {
    this.order += 1;
    const entry: Timed = { atMs: this.nowMs + Math.max(0, ms), order: this.order, run };
    // Few are due at any time: a sorted list is enough.
    let at = this.due.length;
    while (at > 0 && (this.due[at - 1]?.atMs ?? 0) > entry.atMs) at -= 1;
    this.due.splice(at, 0, entry);
  }

  private countHeartbeats(untilMs: number): void {
    if (this.device === null) return;
    const fromMs = Math.max(this.nowMs, Math.min(this.silentUntilMs, untilMs));
    this.ledger.cost.heartbeats += (untilMs - fromMs) / (this.rates.heartbeat_seconds * 1000);
  }

  private isSilent(): boolean {
    return this.nowMs < this.silentUntilMs;
  }

  private now(): string {
    return new Date(epoch + this.nowMs).toISOString();
  }

  private id(): string {
    this.ids += 1;
    return `00000000-0000-4000-8000-${String(this.ids).padStart(12, '0')}`;
  }
}

function certificate(name: string): CertificateFacts {
  return {
    fingerprint_sha256: name,
    serial_number: name,
    issuer: 'CN=Simulated',
    subject: 'CN=d1',
    not_before: '2026-01-01T00:00:00.000Z',
    not_after: '2036-01-01T00:00:00.000Z',
  };
}

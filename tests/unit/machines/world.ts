// One device, its approvals and their store, under any order of what happens: late, twice, never, or after a crash.
// The machines are the real ones; what Temporal and Postgres promise is kept here in a few lines: an accepted event is not
// lost, a commit is whole, and everything else may come whenever the schedule says.
import { chanceOf } from '#bench/simulate/chance.ts';
import { type Host, ModelActor, type Said } from '#bench/simulate/model-actor.ts';
import type { DeviceAttestation } from '#contracts/attestation.ts';
import type { CommitRequirement } from '#contracts/actor.ts';
import type { AnyCall, Stamp } from '#machines/actor.ts';
import { approvalActor, type ApprovalContext, type ApprovalEvent, type ApprovalInput } from '#machines/approval.ts';
import { claimOf } from '#machines/device-attestation.ts';
import { deviceActor } from '#machines/device-actor.ts';
import type { DeviceContext } from '#machines/device-context.ts';
import type { DeviceEvent, DeviceNews, EvidenceQuery, NewsQuery } from '#machines/device-events.ts';
import { asks, certificate, policy, proposal, stamp, standing } from './devices.ts';
import { after } from './machines.ts';

/** What happens to the device and around it, in the order in which it happens. */
export type Fact =
  | { readonly kind: 'presents'; readonly name: string }
  | { readonly kind: 'tags'; readonly tags: readonly string[] }
  | { readonly kind: 'revoke'; readonly name: string }
  /** Evidence of a key, of which the API writes down that it was verified; the store may lie about which key that was. */
  | { readonly kind: 'evidence'; readonly key: string; readonly claimed: string; readonly valid: boolean }
  | { readonly kind: 'no evidence' }
  | { readonly kind: 'reset' | 'retire'; readonly by: string }
  | { readonly kind: 'vote'; readonly by: string; readonly decision: 'approve' | 'reject' }
  | { readonly kind: 'crash'; readonly whose: 'device' | 'approval'; readonly back: number };

/** Everything that may happen next; which of it does is up to the schedule. */
interface Step {
  readonly name: string;
  run(): void;
}

export class World implements Host {
  private readonly steps: Step[] = [];
  readonly approvals = new Map<string, ModelActor<ApprovalContext, ApprovalEvent>>();
  readonly consumed: string[] = [];
  readonly device: ModelActor<DeviceContext, DeviceEvent>;
  /** Who was once in the live directory with the permission, and still is. */
  readonly voters = new Set(['ann', 'bob', 'cleo']);
  private seconds = 0;
  private readonly random: () => number;
  private tags: readonly string[] = [];
  private presented: string | null = null;
  private candidate: { name: string; generation: number } | null = null;
  private readonly denied = new Set<string>();
  private standing: DeviceAttestation | null = null;
  /** What each verdict really rests on. */
  readonly judged = new Map<number, { readonly key: string; readonly valid: boolean; readonly generation: number }>();

  constructor(seed: number) {
    this.random = chanceOf(seed);
    this.device = new ModelActor(this, deviceActor, { project: 'default', id: 'd1' }, (call) =>
      this.performForDevice(call),
    );
  }

  get now(): string {
    return after(this.seconds);
  }

  stamped(event: Said, by?: string, request?: string): Said {
    const who = by === undefined ? undefined : ({ kind: 'user', id: by } as const);
    return { ...stamp(this.now, who), ...event, ...(request === undefined ? {} : { request_id: request }) };
  }

  later({ kind, name }: Parameters<Host['later']>[0], run: () => void): void {
    this.steps.push({ name: `${kind} ${name}`, run });
  }

  /** Lets everything happen in an order that the seed decides; hints get lost and come twice. */
  live(facts: readonly Fact[]): void {
    for (const fact of facts) {
      this.happen(fact);
      for (let steps = Math.floor(this.random() * 12); steps > 0; steps -= 1) this.anyStep();
    }
    this.settle();
  }

  /** Until nothing is left to do: the reconciler repeats what was lost. */
  private settle(): void {
    for (let round = 0; round < 50; round += 1) {
      for (let limit = 10_000; this.steps.length > 0; limit -= 1) {
        if (limit === 0) throw new Error(`never quiet: ${this.steps.map(({ name }) => name).join(', ')}`);
        this.anyStep();
      }
      // The device goes on reporting what it has.
      if (this.presented !== null) this.takesIn(this.presented);
      if (!this.hasNews()) return;
      this.device.tell({ type: 'news.announced' });
    }
    throw new Error('news that is never taken in');
  }

  private anyStep(): void {
    this.seconds += 1;
    const [step] = this.steps.splice(Math.floor(this.random() * this.steps.length), 1);
    step?.run();
    this.device.wake(this.now);
    for (const approval of this.approvals.values()) approval.wake(this.now);
  }

  private happen(fact: Fact): void {
    const { device } = this;
    switch (fact.kind) {
      case 'presents':
        this.presented = fact.name;
        if (this.takesIn(fact.name)) this.hint();
        return;
      case 'tags':
        this.tags = fact.tags;
        return this.hint();
      case 'evidence': {
        const verdict = this.judged.size + 1;
        const generation = verdict;
        this.judged.set(verdict, { key: fact.key, valid: fact.valid, generation });
        this.standing = standing({ generation, verdict, key_id: fact.claimed });
        return this.hint();
      }
      case 'no evidence':
        if (this.standing !== null) this.standing = { ...this.standing, state: 'challenged' };
        return this.hint();
      case 'revoke':
        this.denied.add(fact.name);
        return this.hint();
      case 'reset':
      case 'retire':
        device.tell({ type: `device.${fact.kind}`, reason: 'because' }, fact.by, `${fact.kind} ${this.seconds}`);
        return;
      case 'vote': {
        const approval = this.approvals.get(device.row?.context.review?.id ?? '');
        const vote = { type: 'vote.cast', voter: fact.by, decision: fact.decision, reason: null, digest: null };
        approval?.tell(vote, fact.by, `vote ${this.seconds}`);
        return;
      }
      case 'crash': {
        const whose = fact.whose === 'device' ? device : [...this.approvals.values()].at(-1);
        return whose?.crash(fact.back);
      }
    }
  }

  /** A signal: it may be lost, late, or come twice. */
  private hint(): void {
    for (let copies = Math.floor(this.random() * 3); copies > 0; copies -= 1)
      this.steps.push({ name: 'news.announced', run: () => this.device.tell({ type: 'news.announced' }) });
  }

  /** What the heartbeat's statement decides by the row. */
  private takesIn(name: string): boolean {
    const row = this.device.row ?? this.device.initial;
    const { pinned, rejected_fingerprints: rejected, review_generation: generation } = row.context;
    const { fingerprint_sha256: fingerprint } = certificate(name);
    if (this.denied.has(name) || rejected.includes(fingerprint) || pinned?.fingerprint_sha256 === fingerprint)
      return false;
    if (row.value === 'rejected' || row.value === 'retired') return false;
    const other = this.candidate?.generation === generation ? this.candidate.name : null;
    if (other !== null && other !== name && !this.denied.has(other)) return false;
    this.candidate = { name, generation };
    return true;
  }

  private hasNews(): boolean {
    const row = this.device.row ?? this.device.initial;
    const { context } = row;
    if (row.value === 'retired' || row.value === 'rejected') return false;
    const waits =
      this.candidate?.generation === context.review_generation &&
      context.review === null &&
      !this.denied.has(this.candidate.name);
    const denied = [...this.denied].map((name) => certificate(name).fingerprint_sha256);
    const pinned = context.pinned?.fingerprint_sha256 ?? '';
    const unnoted = denied.includes(pinned) && !context.revoked_fingerprints.includes(pinned);
    const reviewed = denied.includes(context.review?.certificate.fingerprint_sha256 ?? '');
    return waits || unnoted || reviewed || context.applied_digest !== this.observedDigest();
  }

  private observedDigest(): string {
    return JSON.stringify(this.tags);
  }

  private performForDevice({ name, input }: AnyCall): Said | null {
    switch (name) {
      case 'news.fetch':
        return { type: 'news.fetched', ...this.news(input as NewsQuery) };
      case 'evidence.verify':
        return { type: 'evidence.verified', ...this.verify(input as EvidenceQuery) };
      case 'approval.read': {
        const { approval_id } = input as { approval_id: string };
        return { type: 'approval.read', approval_id, approval: this.readApproval(approval_id) };
      }
      case 'approval.open': {
        const asked = input as ApprovalInput;
        const running = this.approvals.get(asked.id);
        if (running === undefined) {
          const approval = new ModelActor(this, approvalActor, asked, (call) =>
            this.performForApproval(asked.id, call),
          );
          this.approvals.set(asked.id, approval);
        } else {
          running.tell({ type: 'subject.changed', ...asked });
        }
        return null;
      }
      default: {
        const { approval_id } = input as { approval_id: string };
        this.approvals.get(approval_id)?.tell({ type: 'subject.withdrawn', reason: 'because' });
        return null;
      }
    }
  }

  private performForApproval(id: string, { name, input }: AnyCall): Said {
    if (name === 'votes.confirm') {
      const { voters } = input as { voters: readonly string[] };
      const standing = voters.filter((voter) => this.voters.has(voter));
      return { type: 'votes.confirmed', standing, dropped: voters.filter((voter) => !standing.includes(voter)) };
    }
    this.device.tell({ type: 'approval.closed', approval_id: id });
    return { type: 'outcome.delivered' };
  }

  private verify({ epoch, generation, verdict }: EvidenceQuery): object {
    const { key, valid } = this.judged.get(verdict) ?? { key: null, valid: false };
    const proven = { key_id: key, binding_id: 'tpm-1', code: null, reason: null, evidence_digest: null };
    return { epoch, generation, verdict, policy: asks, valid, ...proven };
  }

  private news(query: NewsQuery): Omit<DeviceNews, keyof Stamp | 'type'> {
    const name = this.candidate?.generation === query.review_generation ? this.candidate.name : null;
    const { pinned } = query;
    const attestation = { policy: asks, standing: this.standing };
    const hardware = claimOf(attestation);
    return {
      policy,
      review_generation: query.review_generation,
      observed_digest: this.observedDigest(),
      reported_tags: this.tags,
      inbox_through: 0,
      revoked: [...this.denied].map((denied) => certificate(denied).fingerprint_sha256),
      candidate: name === null ? null : proposal(name, this.tags, query.epoch, hardware),
      pinned: pinned && {
        ...proposal(pinned.fingerprint_sha256, this.tags, query.epoch, hardware),
        certificate: pinned,
      },
      attestation,
    };
  }

  private readApproval(id: string): object | null {
    const row = this.approvals.get(id)?.row;
    if (!row) return null;
    const votes = row.context.votes;
    return {
      state: row.value === 'deciding' ? 'open' : row.value,
      digest: row.context.digest,
      approvers: votes.filter(({ decision }) => decision === 'approve').map(({ by }) => by),
      rejected_by: votes.find(({ decision }) => decision === 'reject')?.by ?? null,
      reason: null,
    };
  }

  /** Checks in the transaction what a commit requires, and uses up what can be used once. */
  holds(requirements: readonly CommitRequirement[]): boolean {
    return requirements.every((requirement) => {
      if (requirement.kind === 'voters.stand') return requirement.usernames.every((name) => this.voters.has(name));
      const row = this.approvals.get(requirement.approval_id)?.row;
      const usable =
        row?.value === requirement.outcome &&
        row.context.digest === requirement.digest &&
        !this.consumed.includes(requirement.approval_id);
      if (usable) this.consumed.push(requirement.approval_id);
      return usable;
    });
  }

  /** How the device stands, without what only counts how often it was asked. */
  outcome(): object {
    const { value, context } = this.device.row ?? this.device.initial;
    return {
      // Both wait for whatever is presented next.
      state: value === 'expired' && context.review === null ? 'pending' : value,
      tier: context.tier,
      pinned: context.pinned?.fingerprint_sha256 ?? null,
      review: context.review && { kind: context.review.kind, digest: context.review.digest },
      tags: context.reported_tags,
      revoked: context.revoked_fingerprints,
      rejected: context.rejected_fingerprints,
      applied: context.applied_digest,
      bound: context.attestation_key,
      attested: context.attested_generation,
    };
  }
}

// What holds on every path of the approval machine, and in every race of votes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { take } from '#bench/simulate/model-actor.ts';
import { closedApprovalStates } from '#contracts/states.ts';
import { approvalActor, type ApprovalContext, type ApprovalEvent, type VoteCast } from '#machines/approval.ts';
import * as approvals from './approvals.ts';
import { after, inWords, search, type Edge } from './machines.ts';

const { changed, confirmed, said, ttlSeconds, vote } = approvals;

const isClosed = (state: string): boolean => (closedApprovalStates as readonly string[]).includes(state);
const approving = (context: ApprovalContext): string[] =>
  context.votes.filter(({ decision }) => decision === 'approve').map(({ by }) => by);

function eventsOf({ context }: approvals.Approval, step: number): ApprovalEvent[] {
  const at = after(100 * (step + 1));
  const late = after(2 * ttlSeconds);
  return [
    ...['ann', 'bob', 'olga'].map((who) => vote(who, { request: `${who} ${step}`, at })),
    vote('ann', { request: 'the same', at }),
    vote('carl', { decision: 'reject', at }),
    vote('carl', { digest: 'another', at }),
    vote('carl', { at: late }),
    confirmed(approving(context), [], at),
    confirmed(approving(context).slice(1), approving(context).slice(0, 1), at),
    confirmed([], approving(context), late),
    confirmed(['dora', 'emil'], [], at),
    changed('digest 2', 1, at),
    changed('digest 3', 2, at),
    approvals.withdrawn(at),
    approvals.deadline(at),
    approvals.deadline(late),
    said('outcome.delivered', at),
    said('actor.adopted', at),
    approvals.refused(),
  ].map((event) => ({ ...event, uuid: '' }));
}

/** Throws what a transition does that none may do. */
function judge({ before, event, taken }: Edge<ApprovalContext, ApprovalEvent>): void {
  const [was, is] = [before.context, taken.snapshot.context];
  const told = (): string => `${event.type}: ${before.value} → ${inWords(taken)}`;

  if (isClosed(before.value)) {
    assert.equal(taken.snapshot.value, before.value, `a closed approval changed: ${told()}`);
    assert.deepEqual({ ...is, delivered: true }, { ...was, delivered: true }, told());
    assert.ok(is.delivered || !was.delivered, told());
    return;
  }
  assert.equal(new Set(is.votes.map(({ by }) => by)).size, is.votes.length, `somebody counts twice: ${told()}`);
  for (const { by, at } of is.votes) {
    assert.ok(!is.requesters.includes(by), `the requester votes: ${told()}`);
    assert.ok(at < is.expires_at, `a vote after the deadline: ${told()}`);
  }
  assert.ok(is.required >= was.required, `the quorum fell: ${told()}`);
  if (is.digest !== was.digest) assert.deepEqual(is.votes, [], `votes for something else: ${told()}`);
  if (is.votes.length > was.votes.length) assert.equal(event.type, 'vote.cast', told());

  if (taken.snapshot.value === 'approved') {
    assert.ok(event.type === 'votes.confirmed' && before.value === 'deciding', told());
    const standing = approving(is).filter((who) => event.standing.includes(who));
    assert.ok(standing.length >= was.required, `approved by too few: ${told()}`);
    assert.deepEqual(taken.requirements, [
      { kind: 'voters.stand', usernames: approving(is), permission: 'identity.review' },
    ]);
  }
  if (isClosed(taken.snapshot.value)) {
    assert.deepEqual(is.deadlines, {}, told());
    assert.ok(
      taken.calls.some(({ name }) => name === 'outcome.deliver'),
      `nobody is told: ${told()}`,
    );
  }
  if (taken.snapshot.value === 'open') assert.ok(approving(is).length < is.required, `nobody decides: ${told()}`);
  if (taken.snapshot.value === 'expired')
    assert.ok('at' in event && event.at >= was.expires_at, `it expired too early: ${told()}`);
}

describe('every path of the approval machine', () => {
  for (const required of [1, 2])
    it(`keeps what is closed, counts people once and decides by enough of them, when it takes ${required} (EN-06, SA-15)`, () => {
      let approved = 0;
      const { states, edges } = search(approvalActor, required === 1 ? approvals.open : approvals.openForTwo, {
        depth: 5,
        eventsOf,
        visit(edge) {
          judge(edge);
          if (edge.taken.snapshot.value === 'approved' && edge.before.value !== 'approved') approved += 1;
        },
      });
      assert.ok(
        states > 200 && edges > 4_000 && approved > 0,
        `${states} states, ${edges} edges, ${approved} approved`,
      );
    });

  it('does so on long random paths too', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 10, maxLength: 40 }), (choices) => {
        let approval = approvals.openForTwo;
        for (const [step, choice] of choices.entries()) {
          const events = eventsOf(approval, step);
          const event = events[choice % events.length] as ApprovalEvent;
          const taken = take(approvalActor, approval, event);
          judge({ before: approval, event, taken });
          approval = taken.snapshot;
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('racing votes (SA-15)', () => {
  const people = ['ann', 'bob', 'carl', 'olga'] as const;
  const cast = fc.record({
    voter: fc.constantFrom(...people),
    decision: fc.constantFrom('approve', 'approve', 'approve', 'reject' as const),
    digest: fc.constantFrom('digest 1', 'digest 1', null, 'another'),
    request: fc.integer({ min: 1, max: 3 }).map((n) => `request ${n}`),
    second: fc.integer({ min: 0, max: ttlSeconds + 60 }),
  });

  it('never counts a person twice, the requester, a late vote or one for something else, in 10 000 votes', () => {
    let votes = 0;
    let quorums = 0;
    fc.assert(
      fc.property(
        fc.array(cast, { minLength: 20, maxLength: 20 }),
        fc.integer({ min: 1, max: 3 }),
        (casts, required) => {
          let approval = { ...approvals.open, context: { ...approvals.open.context, required } };
          const counted = new Map<string, VoteCast>();
          for (const { voter, decision, digest, request, second } of casts.toSorted((a, b) => a.second - b.second)) {
            votes += 1;
            const event = vote(voter, { decision: decision as 'approve', digest, request, at: after(second) });
            const before = approval;
            const code = approvalActor.refuse(before, event);
            const taken = take(approvalActor, before, event);
            approval = taken.snapshot;
            const first = counted.get(voter);
            const isRepeat = first?.request_id === request && first.decision === decision;
            const isNew = approval.context.votes.length > before.context.votes.length;
            const due =
              !isClosed(before.value) &&
              first === undefined &&
              voter !== 'olga' &&
              second < ttlSeconds &&
              (digest === null || digest === 'digest 1');
            assert.equal(isNew, due, `${voter} ${decision} ${request} at ${second}`);
            assert.equal(code === null, due || isRepeat);
            if (isNew) counted.set(voter, event);
            if (approval.value === 'deciding' && before.value === 'open') {
              quorums += 1;
              assert.ok(approving(approval.context).length >= required);
            }
          }
          assert.deepEqual(
            approval.context.votes.map(({ by }) => by),
            [...counted.keys()],
          );
        },
      ),
      { numRuns: 500 },
    );
    assert.ok(votes >= 10_000 && quorums > 100, `${votes} votes, ${quorums} quorums`);
  });

  it('reaches the same decision in whatever order the votes of different people come', () => {
    const approve = people.slice(0, 3).map((who) => vote(who, { request: who }));
    fc.assert(
      fc.property(fc.shuffledSubarray(approve, { minLength: 3 }), (order) => {
        const ends = approvals.given(approvals.openForTwo, ...order, ...order, confirmed(['ann', 'bob', 'carl']));
        assert.equal(ends.value, 'approved');
        assert.deepEqual(approving(ends.context).toSorted(), ['ann', 'bob', 'carl']);
      }),
    );
  });
});

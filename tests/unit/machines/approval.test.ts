// The approval machine, cell by cell: what each event comes to in each situation, and that nothing else comes to anything.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { take } from '#bench/simulate/model-actor.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import { approvalActor, refuseVote, type ApprovalEvent } from '#machines/approval.ts';
import * as approvals from './approvals.ts';
import { after, inWords, isIgnored } from './machines.ts';

const { changed, confirmed, said, vote } = approvals;

const events = {
  'vote: approve': () => vote('carl'),
  'vote: approve with its digest': () => vote('carl', { digest: 'digest 1' }),
  'vote: approve another digest': () => vote('carl', { digest: 'digest 0' }),
  'vote: reject': () => vote('carl', { decision: 'reject' }),
  'vote: by the requester': () => vote('olga'),
  'vote: a second one of the same person': () => vote('ann'),
  'vote: a person who approved rejects': () => vote('ann', { decision: 'reject' }),
  'vote: the same request again': () => vote('ann', { request: 'anns' }),
  'vote: at the deadline': () => vote('carl', { at: after(approvals.ttlSeconds) }),
  'vote: a rejection at the deadline': () => vote('carl', { decision: 'reject', at: after(approvals.ttlSeconds) }),
  'confirmed: all stand': () => confirmed(['ann', 'bob']),
  'confirmed: one dropped': () => confirmed(['ann'], ['bob']),
  'confirmed: one dropped when the time is up': () => confirmed(['ann'], ['bob'], after(approvals.ttlSeconds)),
  'confirmed: all dropped': () => confirmed([], ['ann', 'bob']),
  'confirmed: people who did not vote': () => confirmed(['dora', 'emil']),
  'subject changed': () => changed(),
  'subject changed to the same': () => changed('digest 1', 1),
  'more people needed': () => changed('digest 1', 3),
  'fewer people needed': () => changed('digest 1', 0),
  withdrawn: () => approvals.withdrawn(),
  delivered: () => said('outcome.delivered'),
  'deadline passed': () => approvals.deadline(),
  'deadline passed too early': () => approvals.deadline(after(approvals.ttlSeconds - 1)),
  adopted: () => said('actor.adopted'),
  'commit refused': () => approvals.refused(),
} satisfies Record<string, () => ApprovalEvent>;
type EventName = keyof typeof events;

const voted = '+approval.voted';
const closes = (state: string, also = '') => `${state}:${also} +approval.closed outcome.deliver`;

/** What is not named here comes to nothing: the state stays, nothing is asked for. */
const table: Record<string, { approval: approvals.Approval; comes: Partial<Record<EventName, string>> }> = {
  open: {
    approval: approvals.open,
    comes: {
      'vote: approve': `deciding: ${voted} votes.confirm`,
      'vote: approve with its digest': `deciding: ${voted} votes.confirm`,
      'vote: reject': closes('rejected', ` ${voted}`),
      'vote: a second one of the same person': `deciding: ${voted} votes.confirm`,
      'vote: a person who approved rejects': closes('rejected', ` ${voted}`),
      'vote: the same request again': `deciding: ${voted} votes.confirm`,
      'subject changed': 'open: +approval.changed',
      'more people needed': 'open: +approval.changed',
      withdrawn: closes('cancelled'),
      'deadline passed': closes('expired'),
    },
  },
  'open, one of two approved': {
    approval: approvals.half,
    comes: {
      'vote: approve': `deciding: ${voted} votes.confirm`,
      'vote: approve with its digest': `deciding: ${voted} votes.confirm`,
      'vote: reject': closes('rejected', ` ${voted}`),
      'subject changed': 'open: +approval.changed',
      'more people needed': 'open: +approval.changed',
      withdrawn: closes('cancelled'),
      'deadline passed': closes('expired'),
    },
  },
  deciding: {
    approval: approvals.deciding,
    comes: {
      'vote: approve': `deciding: ${voted}`,
      'vote: approve with its digest': `deciding: ${voted}`,
      'vote: reject': closes('rejected', ` ${voted}`),
      'confirmed: all stand': closes('approved', ' ?voters.stand'),
      'confirmed: one dropped': 'open: +approval.votes_dropped',
      'confirmed: one dropped when the time is up': closes('expired', ' +approval.votes_dropped'),
      'confirmed: all dropped': 'open: +approval.votes_dropped',
      'confirmed: people who did not vote': 'deciding: votes.confirm',
      'subject changed': 'open: +approval.changed',
      'more people needed': 'open: +approval.changed',
      withdrawn: closes('cancelled'),
      adopted: 'deciding: votes.confirm',
      'commit refused': 'deciding: votes.confirm',
    },
  },
  ...Object.fromEntries(
    [approvals.approved, approvals.rejected, approvals.expired, approvals.cancelled].map((approval) => [
      approval.value,
      { approval, comes: { delivered: approval.value, adopted: `${approval.value}: outcome.deliver` } },
    ]),
  ),
  'approved and delivered': { approval: approvals.delivered, comes: {} },
};

describe('approval machine', () => {
  for (const [situation, { approval, comes }] of Object.entries(table)) {
    describe(situation, () => {
      for (const [name, make] of Object.entries(events) as [EventName, () => ApprovalEvent][]) {
        const expected = comes[name];
        it(`${name} → ${expected ?? 'nothing'}`, () => {
          const taken = take(approvalActor, approval, make());
          if (expected === undefined) assert.ok(isIgnored(approval, taken), inWords(taken));
          else assert.equal(inWords(taken), expected);
        });
      }
    });
  }

  it('starts the time again and clears the votes when the subject changes (SA-15)', () => {
    const { context } = approvals.given(approvals.half, changed('digest 2', 1, after(600)));
    assert.deepEqual(context.votes, []);
    assert.equal(context.digest, 'digest 2');
    assert.equal(context.expires_at, after(600 + approvals.ttlSeconds));
    assert.deepEqual(context.deadlines, { expires: context.expires_at });
  });

  it('never takes fewer people than it took before (EN-06)', () => {
    assert.equal(approvals.given(approvals.half, changed('digest 2', 1)).context.required, 2);
    assert.equal(approvals.given(approvals.open, changed('digest 2', 2)).context.required, 2);
  });

  it('counts a vote that came while the others were confirmed', () => {
    const late = approvals.given(approvals.deciding, vote('carl'));
    const again = take(approvalActor, late, confirmed(['ann'], ['bob']));
    assert.equal(inWords(again), 'deciding: +approval.votes_dropped votes.confirm');
    const approved = take(approvalActor, again.snapshot, confirmed(['ann', 'carl']));
    assert.equal(approved.snapshot.value, 'approved');
    assert.deepEqual(approved.requirements, [
      { kind: 'voters.stand', usernames: ['ann', 'carl'], permission: 'identity.review' },
    ]);
  });

  it('requires of the store that everyone whose vote counts still stands (SA-15)', () => {
    const late = approvals.given(approvals.deciding, vote('carl'));
    const { requirements } = take(approvalActor, late, confirmed(['ann', 'bob']));
    assert.deepEqual(requirements, [
      { kind: 'voters.stand', usernames: ['ann', 'bob', 'carl'], permission: 'identity.review' },
    ]);
  });

  it('writes down whose votes were dropped, also when enough are left', () => {
    const late = approvals.given(approvals.deciding, vote('carl'));
    const { records, snapshot } = take(approvalActor, late, confirmed(['ann', 'carl'], ['bob']));
    assert.equal(snapshot.value, 'approved');
    assert.deepEqual(records[0]?.details['dropped'], ['bob']);
    assert.equal(records[0]?.outcome, 'refused');
  });
});

describe('refusal of a vote (SA-15)', () => {
  const cases: readonly [title: string, approvals.Approval, ReturnType<typeof vote>, ProblemCode | null][] = [
    ['takes the first vote of a person', approvals.half, vote('carl'), null],
    ['takes it with the digest that is asked about', approvals.half, vote('carl', { digest: 'digest 1' }), null],
    ['refuses the requester', approvals.half, vote('olga'), 'review.own_request'],
    ['refuses the requester’s rejection', approvals.half, vote('olga', { decision: 'reject' }), 'review.own_request'],
    ['refuses a second vote of a person', approvals.half, vote('ann'), 'review.already_voted'],
    ['refuses a change of mind', approvals.half, vote('ann', { decision: 'reject' }), 'review.already_voted'],
    ['takes the same request again', approvals.half, vote('ann', { request: 'anns' }), null],
    ['takes it again after the close', approvals.approved, vote('ann', { request: 'anns' }), null],
    [
      'refuses the same request with another decision',
      approvals.half,
      vote('ann', { request: 'anns', decision: 'reject' }),
      'review.already_voted',
    ],
    ['refuses another’s request id', approvals.half, vote('carl', { request: 'anns', digest: 'x' }), 'review.changed'],
    ['refuses another digest', approvals.half, vote('carl', { digest: 'digest 2' }), 'review.changed'],
    ['takes a vote just before the deadline', approvals.half, vote('carl', { at: after(3599) }), null],
    ['refuses a vote at the deadline', approvals.half, vote('carl', { at: after(3600) }), 'review.closed'],
    ['refuses a vote after it', approvals.half, vote('carl', { at: after(3601) }), 'review.closed'],
    ['takes a vote while the others are confirmed', approvals.deciding, vote('carl'), null],
    ['refuses a vote on an approved one', approvals.approved, vote('carl'), 'review.closed'],
    ['refuses a vote on a rejected one', approvals.rejected, vote('carl'), 'review.closed'],
    ['refuses a vote on an expired one', approvals.expired, vote('carl'), 'review.closed'],
    ['refuses a vote on a withdrawn one', approvals.cancelled, vote('carl'), 'review.closed'],
  ];
  for (const [title, approval, cast, code] of cases)
    it(title, () => {
      assert.equal(refuseVote(approval, cast), code);
      assert.equal(approvalActor.refuse(approval, cast), code);
      // What is refused changes nothing, and what is taken is written down unless it was before.
      const taken = take(approvalActor, approval, cast);
      if (code !== null) assert.ok(isIgnored(approval, taken), inWords(taken));
    });

  it('answers a vote that a change of the subject cleared with what happened', () => {
    const cast = vote('ann', { at: after(60) });
    const then = approvals.given(approvals.openForTwo, cast, changed('digest 2', 2, after(61)));
    assert.equal(approvalActor.outcome(then, cast), 'review.changed');
  });

  it('answers a vote that the directory dropped as not permitted', () => {
    const cast = vote('bob');
    const then = approvals.given(approvals.half, cast, confirmed(['ann'], ['bob']));
    assert.equal(approvalActor.outcome(then, cast), 'review.not_permitted');
  });

  it('answers a vote that counts with nothing to complain about', () => {
    const cast = vote('bob');
    assert.equal(approvalActor.outcome(approvals.given(approvals.half, cast, confirmed(['ann', 'bob'])), cast), null);
  });
});

// The oracle of the fleet: what the API has to answer to what a device and its approver did, and how every answer is judged.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { differences } from '#agent/fleet/census.ts';
import { createJudge, type Answer } from '#agent/fleet/judge.ts';
import {
  afterAnswer,
  afterDecision,
  afterSilence,
  expectedAnswers,
  initiallyKnown,
  whileDeciding,
  type Answered,
  type Known,
  type Sent,
  type Surroundings,
} from '#agent/fleet/oracle.ts';
import { createTally } from '#agent/fleet/tally.ts';
import { problems } from '#contracts/problems.ts';
import { aDevice } from '#tests/fakes/api-objects.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';

const nowMs = Date.parse('2026-03-01T12:00:00Z');
const around: Surroundings = { atMs: nowMs, pendingLimit: 'far' };
const dayMs = 86_400_000;

function sent(counter: unknown, changes: Partial<Sent['certificate'] & object> = {}): Sent {
  const certificate = {
    fingerprint: 'first',
    issuedBy: 'ours',
    usage: 'device',
    notBeforeMs: nowMs - dayMs,
    notAfterMs: nowMs + dayMs,
  } as const;
  return {
    counter,
    agentVersion: '1',
    certificate: { ...certificate, ...changes },
    namesItself: true,
    wellFormed: true,
  };
}
const by = (fingerprint: string) => ({ fingerprint });

function right(known: Known, request: Sent, surroundings = around): readonly string[] {
  return [...expectedAnswers(known, request, surroundings)].toSorted();
}

/** A device that was approved by its first certificate, and whose counter 5 was accepted. */
function approved(): Known {
  const waiting = afterAnswer(initiallyKnown(false), sent(1), 'pending');
  const decided = afterDecision(whileDeciding(waiting, 'first', 'approve'), 'first', 'approved');
  return afterAnswer(decided, sent(5), 'accepted');
}

function rotating(): Known {
  return afterAnswer(approved(), sent(6, by('second')), 'pending');
}

describe('the oracle', () => {
  it('has a device wait until the vote, and be accepted from its answer on', () => {
    const fresh = initiallyKnown(false);
    assert.deepEqual(right(fresh, sent(1)), ['pending']);
    const waiting = afterAnswer(fresh, sent(1), 'pending');
    assert.deepEqual(right(waiting, sent(1)), ['pending']);
    const voting = whileDeciding(waiting, 'first', 'approve');
    assert.deepEqual(right(voting, sent(1)), ['accepted', 'pending']);
    assert.deepEqual(right(afterDecision(voting, 'first', 'open'), sent(1)), ['pending']);
    assert.deepEqual(right(afterDecision(voting, 'first', 'approved'), sent(1)), ['accepted']);
    // While people decide, a new version may be on record already, or only with the next heartbeat.
    const upgraded = { ...sent(2), agentVersion: '2' };
    const before = waiting.versions;
    assert.deepEqual(afterAnswer(voting, upgraded, 'pending').versions, [...before, '2']);
    assert.deepEqual(afterAnswer(voting, upgraded, 'accepted').versions, ['2']);
    const against = whileDeciding(waiting, 'first', 'reject');
    assert.deepEqual(right(against, sent(1)), ['device.rejected', 'pending']);
    assert.deepEqual(right(afterDecision(against, 'first', 'rejected'), sent(1)), ['device.rejected']);
  });

  it('has each counter count once, and leaves open what nobody can know', () => {
    assert.deepEqual(right(approved(), sent(6)), ['accepted']);
    for (const counter of [1, 4, 5]) assert.deepEqual(right(approved(), sent(counter)), ['heartbeat.replayed']);
    const unsure = afterSilence(approved(), sent(8));
    for (const counter of [6, 7, 8]) assert.deepEqual(right(unsure, sent(counter)), ['accepted', 'heartbeat.replayed']);
    assert.deepEqual(right(unsure, sent(9)), ['accepted']);
    // Either answer settles it.
    assert.deepEqual(right(afterAnswer(unsure, sent(8), 'heartbeat.replayed'), sent(8)), ['heartbeat.replayed']);
    assert.deepEqual(right(afterAnswer(unsure, sent(8), 'accepted'), sent(8)), ['heartbeat.replayed']);
    assert.deepEqual(right(afterAnswer(unsure, sent(7), 'heartbeat.replayed'), sent(8)), [
      'accepted',
      'heartbeat.replayed',
    ]);
  });

  it('has a refusal or a 202 use up no counter', () => {
    const refusals = (Object.keys(problems) as Answered[]).filter((code) => code !== 'heartbeat.replayed');
    for (const code of [...refusals, 'pending' as const])
      assert.deepEqual(right(afterAnswer(approved(), sent(6), code), sent(6)), ['accepted'], code);
  });

  it('judges what is wrong with a request in the order in which the API does', () => {
    const request = sent(1, { issuedBy: 'somebody', usage: 'server' });
    const steps: [Sent, string[]][] = [
      [{ ...request, counter: 0, namesItself: false, wellFormed: false }, ['request.invalid']],
      [{ ...request, counter: 0, namesItself: false }, ['heartbeat.counter_invalid']],
      [{ ...request, certificate: null, namesItself: false }, ['certificate.missing']],
      [{ ...request, namesItself: false }, ['certificate.untrusted']],
      [{ ...sent(1, { usage: 'server', notAfterMs: 0 }), namesItself: false }, ['certificate.wrong_usage']],
      [{ ...sent(1, { notAfterMs: nowMs - dayMs }), namesItself: false }, ['certificate.expired']],
      [{ ...sent(1, { notBeforeMs: nowMs + dayMs }), namesItself: false }, ['certificate.not_yet_valid']],
      [{ ...sent(1), namesItself: false }, ['certificate.name_mismatch']],
    ];
    for (const [sentNow, expected] of steps) assert.deepEqual(right(approved(), sentNow), expected);
    for (const counter of [undefined, null, 0, -1, 1.5, '7', 2 ** 53, Number.NaN])
      assert.deepEqual(right(approved(), sent(counter)), ['heartbeat.counter_invalid']);
  });

  it('leaves open on which side of a date two clocks are', () => {
    assert.deepEqual(right(approved(), sent(6, { notBeforeMs: nowMs + 1_000 })), [
      'accepted',
      'certificate.not_yet_valid',
    ]);
    assert.deepEqual(right(approved(), sent(6, { notAfterMs: nowMs - 1_000 })), ['accepted', 'certificate.expired']);
  });

  it('has the pinned certificate go on while another waits, and refused once that is approved', () => {
    assert.deepEqual(right(approved(), sent(6, by('second'))), ['pending']);
    assert.deepEqual(right(rotating(), sent(6, by('second'))), ['pending']);
    assert.deepEqual(right(rotating(), sent(6)), ['accepted']);
    assert.deepEqual(right(rotating(), sent(6, by('third'))), ['device.other_certificate_pending']);
    const voting = whileDeciding(rotating(), 'second', 'approve');
    assert.deepEqual(right(voting, sent(6, by('second'))), ['accepted', 'pending']);
    assert.deepEqual(right(voting, sent(6)), ['accepted', 'device.rejected']);
    const rotated = afterDecision(voting, 'second', 'approved');
    assert.deepEqual(right(rotated, sent(6, by('second'))), ['accepted']);
    assert.deepEqual(right(rotated, sent(5, by('second'))), ['heartbeat.replayed']);
    assert.deepEqual(right(rotated, sent(6)), ['device.rejected']);
    const refused = afterDecision(whileDeciding(rotating(), 'second', 'reject'), 'second', 'rejected');
    assert.deepEqual(right(refused, sent(6, by('second'))), ['device.rejected']);
    assert.deepEqual(right(refused, sent(6)), ['accepted']);
  });

  it('learns what a vote whose answer was lost brought about from the answers to heartbeats', () => {
    const voting = whileDeciding(rotating(), 'second', 'approve');
    for (const known of [
      afterAnswer(voting, sent(6, by('second')), 'accepted'),
      afterAnswer(voting, sent(6), 'device.rejected'),
    ]) {
      assert.deepEqual(right(known, sent(6)), ['device.rejected']);
      assert.equal(known.pinned, 'second');
    }
  });

  it('lets in new devices up to the limit of those that wait, and turns away the rest', () => {
    const fresh = initiallyKnown(false);
    const reached = { ...around, pendingLimit: 'reached' } as const;
    assert.deepEqual(right(fresh, sent(1), reached), ['rate.limited']);
    assert.deepEqual(right(fresh, sent(1), { ...around, pendingLimit: 'near' }), ['pending', 'rate.limited']);
    // It may have got its place by a request whose answer was lost.
    assert.deepEqual(right(afterSilence(fresh, sent(1)), sent(1), reached), ['pending', 'rate.limited']);
    assert.deepEqual(right(afterAnswer(fresh, sent(1), 'pending'), sent(1), reached), ['pending']);
    assert.deepEqual(right(approved(), sent(6), reached), ['accepted']);
  });

  it('leaves open what an earlier run may have voted on, until an answer or a vote says it', () => {
    const before = afterSilence(initiallyKnown(true), sent(70));
    assert.deepEqual(right(before, sent(71)), ['accepted', 'device.rejected', 'pending']);
    assert.deepEqual(right(afterAnswer(before, sent(71), 'accepted'), sent(72)), ['accepted']);
    assert.deepEqual(right(afterAnswer(before, sent(71), 'pending'), sent(72)), [
      'accepted',
      'device.rejected',
      'pending',
    ]);
    assert.deepEqual(right(afterAnswer(before, sent(71), 'device.rejected'), sent(72)), ['device.rejected']);
  });

  it('never expects a counter to be accepted twice, whatever was sent, lost and answered before', () => {
    const step = fc.record({
      counter: fc.integer({ min: 1, max: 12 }),
      ends: fc.constantFrom('answered', 'lost'),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let known = approved();
        const accepted = new Set([5]);
        for (const { counter, ends, pick } of steps) {
          const allowed = right(known, sent(counter)) as Answered[];
          assert.ok(!(accepted.has(counter) && allowed.includes('accepted')), `${counter} again`);
          const answered = allowed[pick % allowed.length] ?? 'accepted';
          if (ends === 'answered' && answered === 'accepted') accepted.add(counter);
          known = ends === 'lost' ? afterSilence(known, sent(counter)) : afterAnswer(known, sent(counter), answered);
          assert.ok(known.counter.used <= known.counter.perhaps);
        }
      }),
    );
  });
});

describe('the judge of a run', () => {
  function aJudge(options: { pendingLimit?: number; withPeople?: boolean } = {}) {
    const tally = createTally();
    const judge = createJudge({
      tally,
      clock: fakeClock(new Date(nowMs).toISOString()),
      pendingLimit: 100,
      withPeople: false,
      ...options,
    });
    judge.enter('lab-1', false);
    judge.enter('lab-2', false);
    const say = (answered: Answered, changes: Partial<Answer> = {}): Answer => ({
      answered,
      status: answered === 'accepted' ? 200 : answered === 'pending' ? 202 : problems[answered].status,
      requestId: 'req-1',
      retryAfterSeconds: null,
      detail: '',
      ms: 3,
      ...changes,
    });
    const send = (counter: unknown, answer: Answer, id = 'lab-1'): void =>
      judge.sends(id, 'heartbeat', sent(counter)).answered(answer);
    const approve = (id = 'lab-1'): void => {
      judge.decides(id, 'first', 'approve');
      judge.decided(id, 'first', 'approved');
    };
    return { judge, tally, say, send, approve, mismatches: () => tally.counts().mismatches };
  }

  it('names an answer that is wrong, with its device, time, counter and request', () => {
    const { say, send, approve, tally, mismatches } = aJudge();
    send(1, say('pending'));
    approve();
    send(1, say('accepted'));
    send(1, say('accepted'));
    assert.deepEqual(mismatches(), [
      {
        device_id: 'lab-1',
        at: new Date(nowMs).toISOString(),
        act: 'heartbeat',
        counter: 1,
        expected: 'heartbeat.replayed',
        answered: 'accepted',
        status: 200,
        request_id: 'req-1',
        detail: '',
      },
    ]);
    assert.deepEqual(
      tally
        .counts()
        .answers.map(({ expected, answered, right: isRight, count }) => [expected, answered, isRight, count]),
      [
        ['heartbeat.replayed', 'accepted', false, 1],
        ['pending', 'pending', true, 1],
        ['accepted', 'accepted', true, 1],
      ],
    );
  });

  it('allows for a vote that was cast while the request was on its way, and for nothing else', () => {
    const { judge, say, send, approve, mismatches } = aJudge();
    send(1, say('pending'));
    const [early, late] = [judge.sends('lab-1', 'heartbeat', sent(1)), judge.sends('lab-1', 'heartbeat', sent(2))];
    approve();
    early.answered(say('pending'));
    late.answered(say('accepted'));
    assert.deepEqual(mismatches(), []);
    send(3, say('pending'));
    assert.equal(mismatches().length, 1);
  });

  it('takes 503 with Retry-After for busy, and finds one without, and a status that does not fit its code', () => {
    const { say, send, tally, mismatches } = aJudge();
    send(1, say('service.overloaded', { retryAfterSeconds: 5 }));
    assert.equal(tally.totals.busy, 1);
    assert.deepEqual(mismatches(), []);
    send(1, say('service.unavailable'));
    send(1, say('pending', { status: 200 }));
    assert.deepEqual(
      mismatches().map(({ detail }) => detail),
      ['Retry-After is missing', 'the status is 200 instead of 202'],
    );
  });

  it('finds a request that nobody cut off and that got no answer', () => {
    const { judge, tally, mismatches } = aJudge();
    judge.sends('lab-1', 'lost_answer', sent(1)).lost('lost_answer');
    judge.sends('lab-1', 'heartbeat', sent(1)).lost('stopped');
    assert.deepEqual(mismatches(), []);
    judge.sends('lab-1', 'heartbeat', sent(2)).unanswered('No connection');
    assert.deepEqual(mismatches(), []);
    assert.equal(tally.totals.unanswered, 1);
    const [first] = tally.counts().unanswered;
    assert.deepEqual([first?.device_id, first?.counter, first?.detail], ['lab-1', 2, 'No connection']);
    assert.deepEqual(tally.counts().silences, { lost_answer: 1, outage: 1, stopped: 1 });
  });

  it('knows how many devices wait, and so when the next one has to be turned away', () => {
    const { say, send, mismatches } = aJudge({ pendingLimit: 1 });
    const limited = say('rate.limited', { retryAfterSeconds: 60 });
    send(1, say('pending'));
    send(1, limited, 'lab-2');
    assert.deepEqual(mismatches(), []);
    send(1, say('pending'), 'lab-2');
    assert.equal(mismatches()[0]?.expected, 'rate.limited');

    const other = aJudge({ pendingLimit: 2 });
    other.send(1, limited);
    assert.equal(other.mismatches()[0]?.expected, 'pending');
  });

  it('judges nothing that depends on people where people interfere, and all the rest', () => {
    const { judge, say, send, tally, mismatches } = aJudge({ withPeople: true });
    for (const code of ['accepted', 'heartbeat.replayed', 'device.retired', 'certificate.revoked'] as const)
      send(1, say(code));
    judge.sends('lab-1', 'heartbeat', sent(2)).unanswered('No connection');
    assert.deepEqual([mismatches(), tally.totals.unanswered], [[], 0]);
    send(0, say('accepted'));
    send(3, say('internal.error'));
    assert.equal(mismatches().length, 2);
  });
});

describe('the census after a run', () => {
  const fingerprint = 'f'.repeat(64);
  const known: Known = {
    seen: 'yes',
    identity: 'approved',
    pinned: fingerprint,
    rotation: null,
    refused: [],
    counter: { used: 7, perhaps: 9 },
    versions: ['1', '2'],
  };
  const certificate = { ...aDevice().certificate, fingerprint_sha256: fingerprint } as NonNullable<
    ReturnType<typeof aDevice>['certificate']
  >;
  const record = aDevice({ heartbeat_counter: 8, agent_version: '2', certificate });

  it('finds nothing where the records are what the devices brought about', () => {
    assert.deepEqual(differences(known, record), []);
    assert.deepEqual(differences({ ...known, seen: 'no' }, null), []);
    assert.deepEqual(differences({ ...known, seen: 'perhaps', identity: 'waiting' }, null), []);
  });

  it('finds every record that cannot have come about', () => {
    const wrong: [Known, Parameters<typeof differences>[1]][] = [
      [known, null],
      [{ ...known, seen: 'no' }, record],
      [known, { ...record, heartbeat_counter: 6 }],
      [known, { ...record, heartbeat_counter: 10 }],
      [known, { ...record, heartbeat_counter: null }],
      [known, { ...record, agent_version: '3' }],
      [known, { ...record, certificate: { ...certificate, fingerprint_sha256: 'e'.repeat(64) } }],
      [known, { ...record, approval_state: 'pending' }],
      [{ ...known, identity: 'rejected' }, record],
      [{ ...known, identity: 'waiting' }, record],
    ];
    for (const [device, found] of wrong) assert.equal(differences(device, found).length, 1, JSON.stringify(found));
  });
});

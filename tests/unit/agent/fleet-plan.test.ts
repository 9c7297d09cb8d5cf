// Scenarios as files, the plan that a seed makes of one, the command line, and what a person reads in the end.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readArguments } from '#agent/fleet/arguments.ts';
import { createJudge } from '#agent/fleet/judge.ts';
import { mishapsAt, planFleet, type DevicePlan } from '#agent/fleet/plan.ts';
import { drawLine, presentProgress } from '#agent/fleet/progress.ts';
import { makeReport, presentReport, type RunFacts } from '#agent/fleet/report.ts';
import { behaviourKinds, parseScenario, type Scenario } from '#agent/fleet/scenario.ts';
import { seededRandom } from '#agent/fleet/seeded.ts';
import { createTally } from '#agent/fleet/tally.ts';
import { TrustError } from '#contracts/problems.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';

const directory = new URL('../../../agent/fleet/scenarios/', import.meta.url);
const shipped = readdirSync(directory).map((file) =>
  parseScenario(basename(file, '.json'), readFileSync(new URL(file, directory), 'utf8')),
);

function aScenario(changes: object = {}): Scenario {
  return parseScenario(
    'lab',
    JSON.stringify({ about: 'A test', devices: 20, arrivals_per_second: 10, behaviours: [], ...changes }),
  );
}

describe('a scenario', () => {
  it('comes in the kinds that the docs name, and every kind of behaviour is in one of them', () => {
    assert.deepEqual(shipped.map(({ name }) => name).toSorted(), [
      'arrival',
      'demo',
      'everything',
      'hostile',
      'lossy',
      'rotation',
      'silence',
      'steady',
      'upgrade',
    ]);
    const used = new Set(shipped.flatMap(({ behaviours }) => behaviours.map(({ kind }) => kind)));
    assert.deepEqual([...used].toSorted(), Object.keys(behaviourKinds).toSorted());
  });

  it('is refused with what is wrong with it and where', () => {
    const base = { about: 'A test', devices: 20, arrivals_per_second: 10, behaviours: [] };
    const cases: [unknown, RegExp][] = [
      ['{', /is not JSON/],
      ['7', /must be object/],
      [{}, /about, devices, arrivals_per_second, behaviours/],
      [{ ...base, devices: 10_001 }, /\/devices must be <= 10000/],
      [{ ...base, surprise: 1 }, /additional properties: surprise/],
      [{ ...base, approve: { by: '../root' } }, /\/approve\/by must match/],
      [{ ...base, behaviours: [{ kind: 'nap' }] }, /\/behaviours\/0\/kind .*: lost_request, /],
      [{ ...base, behaviours: [{ kind: 'replay' }] }, /\/behaviours\/0 .*chance/],
      [
        {
          ...base,
          behaviours: [
            { kind: 'replay', chance: 0.5 },
            { kind: 'replay', chance: 1.1 },
          ],
        },
        /\/behaviours\/1\/chance must be <= 1/,
      ],
      [{ ...base, behaviours: [{ kind: 'rotate', at_seconds: 1, chance: 1 }] }, /\/behaviours\/0 .*: chance/],
      [{ ...base, behaviours: [{ kind: 'silent', site: 'ulm', at_seconds: 1, for_seconds: 1 }] }, /site .*: fra, ber/],
      [
        { ...base, behaviours: [{ kind: 'replay', chance: 1, from_seconds: 9, until_seconds: 9 }] },
        /\/behaviours\/0\/until_seconds must be after from_seconds/,
      ],
    ];
    for (const [value, message] of cases) {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      assert.throws(
        () => parseScenario('lab', text),
        (error) => error instanceof TrustError && error.code === 'request.invalid' && message.test(error.message),
        text,
      );
    }
    for (const name of ['', 'Lab', '-lab', 'a'.repeat(33), 'lab/1'])
      assert.throws(() => parseScenario(name, JSON.stringify(base)), /lower-case/, name);
  });
});

describe('the plan of a run', () => {
  const scenarios = fc.constantFrom(...shipped);
  const seeds = fc.nat();
  const sizes = fc.integer({ min: 1, max: 60 });

  /** Everything that a plan decides, also at each of some heartbeats. */
  function decisions(plans: readonly DevicePlan[]): string {
    return JSON.stringify(
      plans.map(({ profile, ...plan }) => [
        plan,
        profile.observe(3),
        Array.from({ length: 12 }, (_, beat) => [...mishapsAt({ ...plan, profile }, beat + 1, beat * 2_000)]),
      ]),
    );
  }

  it('is the same for the same scenario, count and seed', () => {
    fc.assert(
      fc.property(scenarios, seeds, sizes, (scenario, seed, devices) => {
        const options = { devices, seed };
        assert.equal(decisions(planFleet(scenario, options)), decisions(planFleet(scenario, options)));
      }),
    );
  });

  it('is another for another seed', () => {
    const busy = shipped.find(({ name }) => name === 'everything') ?? aScenario();
    const made = [1, 2, 3].map((seed) => decisions(planFleet(busy, { devices: 40, seed })));
    assert.equal(new Set(made).size, 3);
  });

  it('chooses exactly the share that the scenario names, among those of the site', () => {
    fc.assert(
      fc.property(seeds, sizes, fc.double({ min: 0, max: 1, noNaN: true }), (seed, devices, share) => {
        const scenario = aScenario({
          approve: { by: 'ann', share, reject_share: 0.5, leave: 2 },
          behaviours: [
            { kind: 'restart', share, at_seconds: 5, over_seconds: 10 },
            { kind: 'silent', site: 'fra', share, at_seconds: 5, for_seconds: 1 },
          ],
        });
        const plans = planFleet(scenario, { devices, seed });
        const having = (kind: string) => plans.filter(({ moments }) => moments.some((moment) => moment.kind === kind));
        assert.equal(having('restart').length, Math.round(share * devices));
        const atSite = plans.filter(({ profile }) => profile.site === 'fra');
        assert.equal(having('silent').length, Math.round(share * atSite.length));
        assert.ok(having('silent').every(({ profile }) => profile.site === 'fra'));
        const votes = plans.flatMap(({ vote }) => vote ?? []);
        assert.equal(votes.length, Math.round(share * Math.max(0, devices - 2)));
        assert.equal(votes.filter(({ decision }) => decision === 'reject').length, Math.round(votes.length / 2));
        assert.ok(plans.slice(-2).every(({ vote }) => vote === null));
        for (const { atMs } of having('restart').flatMap(({ moments }) => moments)) assert.ok(atMs >= 5_000);
      }),
    );
  });

  it('has devices begin one after the other, at the rate that is asked for', () => {
    const plans = planFleet(aScenario({ arrivals_per_second: 4 }), { devices: 40, seed: 7 });
    for (const [index, { startMs }] of plans.entries())
      assert.ok(startMs >= index * 250 && startMs < (index + 1) * 250, `${index}: ${startMs}`);
  });

  it('lets mishaps happen only in their time, and about as often as they are likely', () => {
    const scenario = aScenario({
      behaviours: [{ kind: 'replay', chance: 0.25, from_seconds: 10, until_seconds: 20 }],
    });
    const plans = planFleet(scenario, { devices: 200, seed: 3 });
    const at = (seconds: number) =>
      plans.flatMap((plan) => Array.from({ length: 20 }, (_, beat) => mishapsAt(plan, beat + 1, seconds * 1_000).size));
    const sum = (list: number[]) => list.reduce((total, size) => total + size, 0);
    assert.equal(sum(at(9)) + sum(at(20)), 0);
    const share = sum(at(10)) / 4_000;
    assert.ok(share > 0.22 && share < 0.28, String(share));
  });

  it('draws the schedule of a device from its seed, and every device another one', () => {
    const draw = (...names: (string | number)[]) => Buffer.from(seededRandom(7, ...names).bytes(40)).toString('hex');
    assert.equal(draw('schedule', 1), draw('schedule', 1));
    assert.notEqual(draw('schedule', 1), draw('schedule', 2));
    const random = seededRandom(7, 'schedule', 1);
    assert.notDeepEqual(random.bytes(3), random.bytes(3));
    assert.match(random.uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe('the command line of the fleet', () => {
  it('says what it did not understand', () => {
    for (const [args, reason] of [
      [['--devices', '0'], '--devices takes a whole number from 1 to 10000'],
      [['--devices', '10001'], '--devices takes a whole number from 1 to 10000'],
      [['--devices', '1.5'], '--devices takes a whole number from 1 to 10000'],
      [['--duration', 'long'], '--duration takes a whole number from 1 to 86400'],
      [['--rate', '1e3'], '--rate takes a number from 0.1 to 2000'],
      [['--seed', '-1'], "Option '--seed' argument is ambiguous"],
    ] as const) {
      const read = readArguments(args);
      assert.ok(read.verb === 'wrong' && read.reason.startsWith(reason), JSON.stringify(read));
    }
    for (const args of [['--surprise'], ['pause'], ['steady']]) assert.equal(readArguments(args).verb, 'wrong');
  });

  it('is a run of the demo unless it says otherwise', () => {
    const read = readArguments(['--devices', '3']);
    assert.ok(read.verb === 'run');
    assert.deepEqual([read.scenario, read.devices, read.seed, read.allowRemote], ['demo', 3, 1, false]);
    assert.deepEqual(readArguments(['pause', 'demo-001']), { verb: 'pause', deviceIds: ['demo-001'] });
    assert.deepEqual(readArguments(['resume']), { verb: 'resume', deviceIds: [] });
  });
});

describe('the report of a run', () => {
  const facts: RunFacts = {
    scenario: 'lab',
    seed: 7,
    planned: 2,
    startedAt: new Date('2026-03-01T12:00:00Z'),
    seconds: 10,
    stoppedEarly: false,
    certificates: { made: 2, kept: 0, seconds: 0.1 },
    census: { found: 2, versions: { '0.1.0': 2 } },
    busyShare: 0.05,
    problems: [],
    process: { cpu_seconds: 1, memory_mb: 90 },
  };
  const judged = () => {
    const tally = createTally();
    return { tally, judge: createJudge({ tally, clock: fakeClock(), pendingLimit: 10, withPeople: false }) };
  };
  const mismatch = {
    device_id: 'lab-001',
    at: '2026-03-01T12:00:03.000Z',
    act: 'replay',
    counter: 7,
    expected: 'heartbeat.replayed',
    answered: 'accepted',
    status: 200,
    request_id: 'req-1',
    detail: 'monitored',
  } as const;

  it('is right when every answer was, and says how fast', () => {
    const { tally, judge } = judged();
    for (const ms of [1, 2, 3, 90]) tally.answered({ expected: 'accepted', answered: 'accepted', right: true, ms });
    const report = makeReport(facts, tally, judge);
    assert.equal(report.right, true);
    assert.equal(report.answers.per_second, 0.4);
    assert.ok(report.answers.latency_ms.p50 < 4 && report.answers.latency_ms.max >= 90);
    assert.match(presentReport(report), /Every answer was right\.$/);
  });

  it('is not right with a mismatch, a device that could not run, too much 503, or no answer at all', () => {
    const wrong: [(tally: ReturnType<typeof createTally>) => void, RegExp][] = [
      [
        (tally) => tally.mismatch(mismatch),
        /lab-001 replay, counter 7: expected heartbeat.replayed, answered accepted \(200\), request req-1/,
      ],
      [(tally) => tally.broken('lab-002', 'the counter is damaged'), /lab-002 could not run: the counter is damaged/],
      [
        (tally) => tally.unanswered({ ...mismatch, detail: 'No answer within 10 s' }),
        /Problem: requests without an answer: 1, the first of lab-001 .*\nEvery answer that came was right, but/,
      ],
      [(tally) => tally.busy(), /Problem: 1 of 1 answers were 503/],
    ];
    for (const [spoil, message] of wrong) {
      const { tally, judge } = judged();
      tally.answered({ expected: 'accepted', answered: 'accepted', right: true, ms: 1 });
      spoil(tally);
      const report = makeReport(facts, tally, judge);
      assert.equal(report.right, false);
      assert.match(presentReport(report), message);
    }
    const { tally, judge } = judged();
    assert.deepEqual(makeReport(facts, tally, judge).problems, ['the API answered nothing']);
  });

  it('keeps a bounded number of mismatches and counts all of them', () => {
    const { tally, judge } = judged();
    for (let index = 0; index < 1_500; index += 1) tally.mismatch(mismatch);
    const { mismatches } = makeReport(facts, tally, judge);
    assert.deepEqual([mismatches.total, mismatches.first.length], [1_500, 1_000]);
    assert.match(presentReport(makeReport(facts, tally, judge)), /… and 1480 more/);
  });

  it('has a line for the terminal while it runs', () => {
    const before = { seconds: 10, up: 5, planned: 10, answers: 100, waiting: 2, wrong: 0 };
    assert.equal(
      presentProgress({ ...before, seconds: 12, answers: 160 }, before),
      '12 s  5/10 up  30 answers/s  2 waiting  all right',
    );
    assert.match(presentProgress({ ...before, wrong: 3 }, before), /3 WRONG$/);
    for (const [columns, shown] of [
      [5, '1234'],
      [0, '123456789'],
      [undefined, '123456789'],
    ] as const) {
      let drawn = '';
      drawLine({ write: (text) => (drawn += text), ...(columns === undefined ? {} : { columns }) }, '123456789');
      assert.equal(drawn, `\r\u001b[K${shown}`);
    }
  });
});

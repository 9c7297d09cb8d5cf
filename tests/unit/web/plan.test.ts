// The plan of rotations in words: every period has a name, a sentence that says all of it, and a filter that fits its number.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CertificatePlan } from '#contracts/http/certificates.ts';
import type { PlanPeriod } from '#contracts/states.ts';
import { frameOfPlan, sumPlan } from '#machines/certificate-plan.ts';
import { readSettings } from '#contracts/settings.ts';
import { plannedPeriods, rangeText } from '#web/words/plan.ts';

const policy = readSettings({});
// A Thursday.
const now = '2026-11-26T09:41:00.000Z';

/** A plan in which each stretch between two bounds has one certificate. */
function planBy(by: PlanPeriod): CertificatePlan {
  const frame = frameOfPlan(now, by, policy);
  const { periods, ...rest } = sumPlan(
    frame,
    Array.from({ length: frame.bounds.length + 1 }, () => 1),
    policy,
  );
  return { by, counted_at: now, ...rest, periods: [...periods] };
}

describe('the periods of the plan', () => {
  it('are named by the day or month in which they begin, and the first two and the last by what they are', () => {
    const labels = (by: PlanPeriod) => plannedPeriods(planBy(by)).map(({ label }) => label);
    assert.deepEqual(labels('week').slice(0, 3), ['Ended', 'This week', 'Nov 30']);
    assert.equal(labels('week').at(-1), 'Later');
    assert.equal(new Set(labels('week')).size, 15);
    assert.deepEqual(labels('month').slice(0, 4), ['Ended', 'This month', 'Dec', 'Jan']);
    assert.equal(labels('month').length, 14);
  });

  it('say in a sentence what ends in them and how urgent that is (UI-05)', () => {
    const [ended, week, next] = plannedPeriods(planBy('week')).map(({ sentence }) => sentence);
    assert.equal(ended, 'Have ended: 1 certificate, rotation required for 1');
    assert.equal(week, 'The rest of this week: 1 certificate, rotation required for 1');
    assert.match(
      next ?? '',
      /^Nov 30\s.\sDec 6, 2026: 2 certificates, rotation required for 1, rotation recommended for 1$/u,
    );
    const empty = {
      ...planBy('week'),
      periods: [{ from: null, before: now, certificates: 0, rotation: { none: 0, recommended: 0, required: 0 } }],
    };
    assert.equal(plannedPeriods(empty)[0]?.sentence, 'Have ended: no certificate');
  });

  it('filter by the clock what has ended and what has not, and by the calendar the rest', () => {
    const filters = plannedPeriods(planBy('month')).map(({ filter }) => filter);
    assert.deepEqual(filters.slice(0, 3), [
      { role: 'pinned', expired: true },
      { role: 'pinned', expired: false, not_after_before: '2026-12-01T00:00:00.000Z' },
      {
        role: 'pinned',
        not_after_from: '2026-12-01T00:00:00.000Z',
        not_after_before: '2027-01-01T00:00:00.000Z',
      },
    ]);
    assert.deepEqual(filters.at(-1), { role: 'pinned', not_after_from: '2027-11-01T00:00:00.000Z' });
  });
});

describe('a stretch of time', () => {
  for (const [query, text] of [
    [{}, null],
    [{ not_after_from: '2026-12-01T00:00:00Z' }, /^Ends Dec 1, 2026 or later$/],
    [{ not_after_before: '2027-01-01T00:00:00Z' }, /^Ends by Dec 31, 2026$/],
    [
      { not_after_from: '2026-11-30T00:00:00Z', not_after_before: '2026-12-07T00:00:00Z' },
      /^Ends Nov 30 . Dec 6, 2026$/u,
    ],
    [{ not_after_from: '2026-12-07T00:00:00Z', not_after_before: '2026-11-30T00:00:00Z' }, /^Ends at no time$/],
  ] as const) {
    it(`is said as ${String(text)}`, () => {
      const said = rangeText(query);
      if (text === null) assert.equal(said, null);
      // Spaces of typography are none of the point.
      else assert.match(said?.replaceAll(/\s/g, ' ') ?? '', text);
    });
  }
});

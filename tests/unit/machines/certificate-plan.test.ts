// The plan of rotations: its periods cover all time without gaps, and nothing is counted twice or not at all.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readSettings } from '#contracts/settings.ts';
import { certificateLife } from '#machines/certificate-life.ts';
import { frameOfPlan, sumPlan } from '#machines/certificate-plan.ts';

const policy = readSettings({});
const dayMs = 86_400_000;

describe('the plan of certificates', () => {
  it('has weeks that begin on Mondays and months that begin on the first, wherever in them it is made', () => {
    for (const now of ['2026-11-22T12:00:00.000Z', '2026-11-23T00:00:00.000Z', '2024-02-29T23:59:59.999Z']) {
      const weeks = frameOfPlan(now, 'week', policy).periods.slice(2);
      assert.ok(weeks.every(({ from }) => new Date(from ?? '').getUTCDay() === 1));
      assert.ok(weeks.every(({ from }) => from?.endsWith('T00:00:00.000Z')));
      const months = frameOfPlan(now, 'month', policy).periods.slice(2);
      assert.ok(months.every(({ from }) => from?.endsWith('-01T00:00:00.000Z')));
    }
    assert.equal(frameOfPlan('2026-11-23T00:00:00.000Z', 'week', policy).periods[2]?.from, '2026-11-30T00:00:00.000Z');
    assert.equal(frameOfPlan('2026-12-31T23:00:00.000Z', 'month', policy).periods[2]?.from, '2027-01-01T00:00:00.000Z');
  });

  const someDays = fc.integer({ min: 1, max: 3650 });
  it('counts every certificate in one period, with the standing that it has by itself (UI-05)', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('2020-01-01'), max: new Date('2060-01-01'), noInvalidDate: true }),
        fc.constantFrom('week', 'month'),
        fc.record({
          SENTINEL_CERT_EXPIRING_SOON_DAYS: someDays,
          SENTINEL_ROTATION_RECOMMENDED_DAYS: someDays,
          SENTINEL_ROTATION_REQUIRED_DAYS: someDays,
        }),
        fc.array(fc.oneof(fc.integer({ min: -400, max: 4000 }), fc.double({ min: -20, max: 120, noNaN: true })), {
          maxLength: 40,
        }),
        (date, by, days, ends) => {
          const now = date.toISOString();
          const instants = ends.map((left) => new Date(date.getTime() + Math.round(left * dayMs)).toISOString());
          const frame = frameOfPlan(now, by, days);
          const counts = ['', ...frame.bounds].map(
            (from, index) => instants.filter((at) => at >= from && at < (frame.bounds[index] ?? '~')).length,
          );
          const plan = sumPlan(frame, counts, days);
          const lives = instants.map((at) => certificateLife(at, now, days));
          assert.equal(plan.certificates, instants.length);
          assert.equal(plan.expired, lives.filter(({ expired }) => expired).length);
          assert.equal(plan.expiring_soon, lives.filter(({ expiring_soon }) => expiring_soon).length);
          for (const advice of ['none', 'recommended', 'required'] as const) {
            const of = lives.filter(({ rotation }) => rotation === advice).length;
            assert.equal(plan.rotation[advice], of);
            assert.equal(
              plan.periods.reduce((sum, { rotation }) => sum + rotation[advice], 0),
              of,
            );
          }
          assert.equal(plan.periods[0]?.certificates, plan.expired);
        },
      ),
    );
  });
});

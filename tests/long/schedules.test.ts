// New schedules for the machines, a part of the time that is asked for; a seed that breaks a promise is named, and repeats it.
import { describe, it } from 'node:test';
import {
  comesToTheSameEnd,
  pinsOnlyWhatWasApproved,
  takesInWhatWasReported,
  trustsOnlyProvenEvidence,
} from '#tests/unit/machines/schedules.ts';
import { asked, report } from './report.ts';

const atOnce = 500;
const share = 0.1;

const checks = [pinsOnlyWhatWasApproved, trustsOnlyProvenEvidence, takesInWhatWasReported, comesToTheSameEnd];

describe('schedules that nobody has seen before', () => {
  for (const check of checks) {
    it(check.name, () => {
      const end = Date.now() + (asked.minutes * 60_000 * share) / checks.length;
      let [times, seed] = [0, asked.seed];
      try {
        for (; Date.now() < end; seed += 1) {
          check({ numRuns: atOnce, seed });
          times += atOnce;
        }
        report({ what: `schedules: ${check.name}`, times, lost: [] });
      } catch (error) {
        report({ what: `schedules: ${check.name}`, times, lost: [(error as Error).message], seed });
        throw error;
      }
    });
  }
});

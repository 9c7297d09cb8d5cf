// New schedules for the machines, for a part of the time; a seed that breaks a promise is named, and repeats it.
import { describe, it } from 'node:test';
import {
  comesToTheSameEnd,
  pinsOnlyWhatWasApproved,
  takesInWhatWasReported,
  trustsOnlyProvenEvidence,
} from '#tests/unit/machines/schedules.ts';
import { beginPart } from './part.ts';

const schedulesOfOneSeed = 500;

const checks = [pinsOnlyWhatWasApproved, trustsOnlyProvenEvidence, takesInWhatWasReported, comesToTheSameEnd];

describe('schedules that nobody has seen before', () => {
  const part = beginPart('schedules');
  for (const [index, check] of checks.entries()) {
    it(check.name, () => {
      const end = Date.now() + part.leftMs() / (checks.length - index);
      let [times, seed] = [0, part.seed];
      let lost: string[] = [];
      try {
        do {
          part.doing(`${check.name}, ${times} schedules`, seed);
          check({ numRuns: schedulesOfOneSeed, seed });
          times += schedulesOfOneSeed;
          seed += 1;
        } while (Date.now() < end);
      } catch (error) {
        lost = [(error as Error).message];
        throw error;
      } finally {
        part.found({ what: `schedules: ${check.name}`, times, lost, seed });
        part.did(`schedules: ${check.name}`, times);
      }
    });
  }
});

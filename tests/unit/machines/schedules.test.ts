// Whatever order, loss, repetition and crash a schedule brings: what was decided holds, and what was reported arrives.
import { describe, it } from 'node:test';
import {
  comesToTheSameEnd,
  pinsOnlyWhatWasApproved,
  takesInWhatWasReported,
  trustsOnlyProvenEvidence,
} from './schedules.ts';

const how = { numRuns: 1_500 };

describe('any schedule of facts, votes and crashes', () => {
  it('pins only what enough different people approved, each approval once', () => pinsOnlyWhatWasApproved(how));

  it('trusts only whose evidence was proven, of the key that people bound, whatever the store says of it (SA-04)', () =>
    trustsOnlyProvenEvidence(how));

  it('takes in everything that was reported, however many of the hints are lost, late, or come twice (FT-05)', () =>
    takesInWhatWasReported(how));

  it('comes to the same end whatever the order of hints about the same facts (FT-05)', () => comesToTheSameEnd(how));
});

// What metrics ask of the parts of the API, when all is well and nothing has happened.
import type { Readings } from '#api/metrics.ts';
import { fakeClock } from './fake-clock.ts';

export function readings(other: Partial<Readings> = {}): Readings {
  return {
    sealLagSeconds: async () => 0,
    lastCheckpointAt: async () => null,
    stuckActors: async () => 0,
    waitingNews: async () => 0,
    fleet: async () => ({ devices: [], approvals: [] }),
    tlsNotAfter: null,
    clock: fakeClock(),
    ...other,
  };
}

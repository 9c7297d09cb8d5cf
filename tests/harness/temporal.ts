// A Temporal for one test: the run's dev server with a task queue of its own.
import { randomUUID } from 'node:crypto';
import type { Cleanup } from './cleanup.ts';
import { serverAddress } from './servers.ts';

export interface TestTemporal {
  /** host:port of the frontend. */
  readonly address: string;
  readonly namespace: string;
  /** Nobody else's; workflow ids that could meet those of other tests should carry it too. */
  readonly taskQueue: string;
}

export async function testTemporal(_t?: Cleanup): Promise<TestTemporal> {
  return { address: await serverAddress('temporal'), namespace: 'default', taskQueue: `test-${randomUUID()}` };
}

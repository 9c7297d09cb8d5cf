// Loaded before api/main.ts, so that the same API judges each heartbeat by a statement of its own: what batching is compared
// with, and no setting of the product. As many statements at once as the pool has connections.
import { batcherDefaults, type BatcherOptions } from '#api/heartbeat-batcher.ts';

Object.assign(batcherDefaults, { maximumBatch: 1, maximumInFlight: 10 } satisfies Partial<BatcherOptions>);

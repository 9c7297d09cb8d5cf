// Loaded before api/main.ts, so that the same API judges each heartbeat by a statement of its own, as many at once as it has
// batches otherwise: what batching is compared with, and no setting of the product.
import { batcherDefaults, type BatcherOptions } from '#api/heartbeat-batcher.ts';

Object.assign(batcherDefaults, { maximumBatch: 1 } satisfies Partial<BatcherOptions>);

// The workflow types of the worker: one entry, as Temporal's bundler wants it.
export { approvalActor } from './approval.ts';
export { deviceActor } from './device.ts';
export { prune, reconcile, verifyAll } from './reconcile.ts';

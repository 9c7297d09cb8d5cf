// The thread that judges evidence.
import { parentPort } from 'node:worker_threads';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { judgeLots } from './judge-lots.ts';

if (parentPort !== null) judgeLots(parentPort, judgeEvidence);

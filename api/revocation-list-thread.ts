// Reads one file of revocation lists beside the event loop, which a list of a million entries would hold up for a quarter of a second.
import { parentPort, workerData } from 'node:worker_threads';
import { parseCertificate } from '#protocols/certificate.ts';
import { readRevocationLists } from '#protocols/crl.ts';
import type { ThreadAnswer, ThreadTask } from './revocation-list-reader.ts';

const { bytes, issuers } = workerData as ThreadTask;

function answer(): ThreadAnswer {
  try {
    const certificates = issuers.map((der) => parseCertificate(Buffer.from(der)));
    return { lists: readRevocationLists(bytes, certificates), problem: null };
  } catch (error) {
    return { lists: [], problem: error instanceof Error ? error.message : String(error) };
  }
}

const read = answer();
// Moved, not copied.
parentPort?.postMessage(
  read,
  read.lists.flatMap(({ der, table }) => [der.buffer, table.buffer]),
);

// Revocation lists of a file; large ones are read in a thread of its own that lives as long as that takes.
import { Worker } from 'node:worker_threads';
import { TrustError } from '#contracts/problems.ts';
import type { Certificate } from '#protocols/certificate.ts';
import { readRevocationLists, type RevocationList } from '#protocols/crl.ts';

export interface ThreadTask {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** DER. */
  readonly issuers: readonly Uint8Array[];
}

export interface ThreadAnswer {
  readonly lists: readonly RevocationList[];
  readonly problem: string | null;
}

const limitMs = 60_000;
/** Read in well under a millisecond, which a thread takes a hundred times to start. */
const smallBytes = 16 * 1024;

/**
 * @param bytes handed over: nobody else may use them afterwards
 * @throws TrustError `certificate.crl_unavailable`
 */
export async function readLists(
  bytes: Uint8Array<ArrayBuffer>,
  issuers: readonly Certificate[],
): Promise<readonly RevocationList[]> {
  return bytes.byteLength <= smallBytes ? readRevocationLists(bytes, issuers) : readInThread(bytes, issuers);
}

async function readInThread(
  bytes: Uint8Array<ArrayBuffer>,
  issuers: readonly Certificate[],
): Promise<readonly RevocationList[]> {
  const task: ThreadTask = { bytes, issuers: issuers.map(({ raw }) => raw) };
  const thread = new Worker(new URL('./revocation-list-thread.ts', import.meta.url), {
    workerData: task,
    transferList: [bytes.buffer],
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  });
  const { promise, resolve, reject } = Promise.withResolvers<ThreadAnswer>();
  const limit = setTimeout(() => reject(new Error('it takes too long')), limitMs);
  thread.once('message', resolve);
  thread.once('error', reject);
  thread.once('exit', () => reject(new Error('the thread ended without an answer')));
  try {
    const { lists, problem } = await promise;
    if (problem !== null) throw new TrustError('certificate.crl_unavailable', { detail: problem });
    return lists;
  } catch (cause) {
    if (cause instanceof TrustError) throw cause;
    throw new TrustError('certificate.crl_unavailable', { detail: 'The revocation list could not be read', cause });
  } finally {
    clearTimeout(limit);
    await thread.terminate();
  }
}

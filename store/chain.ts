// How an event is linked to the one before it. Whoever checks the chain computes the same.
import { createHash } from 'node:crypto';
import type { AuditStream } from '#contracts/states.ts';

export interface Link {
  readonly stream: AuditStream;
  readonly project: string;
  /** From 1, without gaps. */
  readonly sequence: number;
  /** Of the event before; `firstHash` before the first. */
  readonly previous_hash: string;
}

/** What the first event of every chain is linked to. */
export const firstHash = '0'.repeat(64);

/**
 * Hash of an event in its place: SHA-256, lower-case hex, over these lines, each with a line break at its end, and then
 * the canonical bytes of the event:
 *
 *     sentinel/audit-chain/v1
 *     <stream>
 *     <project>
 *     <sequence, decimal>
 *     <previous hash>
 *
 * No line can hold a line break, so no two links have the same bytes.
 */
export function chainHash({ stream, project, sequence, previous_hash }: Link, canonical: Uint8Array): string {
  return createHash('sha256')
    .update(`sentinel/audit-chain/v1\n${stream}\n${project}\n${sequence}\n${previous_hash}\n`)
    .update(canonical)
    .digest('hex');
}

// What a recorded history is, and the key of those that were recorded encrypted. It protects nothing: the key is here.
import proto from '@temporalio/proto';
import { readDataKeys } from '#protocols/data-keys.ts';

export interface RecordedHistory {
  /** Encrypted payloads are bound to it. */
  readonly workflow_id: string;
  readonly encrypted: boolean;
  /** As the server sends it: protobuf, in Base64. */
  readonly history: string;
}

export const historyKeys = readDataKeys(
  { histories: Buffer.alloc(32, 'recorded histories').toString('base64url') },
  'histories',
);

const { History } = proto.temporal.api.history.v1;

export function encodeHistory(history: proto.temporal.api.history.v1.IHistory): string {
  return Buffer.from(History.encode(history).finish()).toString('base64');
}

export function decodeHistory(text: string): proto.temporal.api.history.v1.History {
  return History.decode(Buffer.from(text, 'base64'));
}

// What Temporal stores: every payload encrypted, and readable only as part of the workflow that it was written for.
//
// The SDK (1.24) says which workflow a payload belongs to, and the codec binds it to that: arguments, results, signals,
// updates, queries and their answers, memos, failures, summaries and details, heartbeats, everything that an activity
// takes and gives, and what one workflow sends to another, which belongs to the one that receives it. Not all of it:
//
// - A workflow task that fails outside of workflow code, and the memo of a schedule, are encoded without a context. They are
//   encrypted and belong to no workflow, so no workflow decodes them. Throwing here would end the worker instead.
// - Headers and search attributes never pass a codec: nothing secret may go there.
// - A schedule appends the time to the ids of the workflows it starts, after it has encoded their arguments. What belongs
//   to one run of a schedule therefore belongs to all of its runs, and to nothing else.
//
// A payload that is not encrypted, or belongs elsewhere, is refused: the workflow task that meets it fails, and goes on
// failing until the workflow is reset to before it. That is what a signal by somebody without the keys leads to.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { DataConverter, Payload, PayloadCodec, SerializationContext } from '@temporalio/common';
import proto from '@temporalio/proto';
import { actorKinds } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import { derivedKey, type DataKeys } from './data-keys.ts';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;

const encoding = 'binary/encrypted';
const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/** Where a payload belongs; `workflowId` is `null` when the SDK did not say. */
interface Binding {
  readonly namespace: string;
  readonly workflowId: string | null;
}

/** Has to be given to the bundler too when workflow code is bundled ahead of time. */
export const failureConverterPath = fileURLToPath(new URL('./failure-converter.ts', import.meta.url));

/** What client and worker are given as `dataConverter`. */
export function createDataConverter(keys: DataKeys, namespace: string): DataConverter {
  return { payloadCodecs: [createPayloadCodec(keys, namespace)], failureConverterPath };
}

export function createPayloadCodec(keys: DataKeys, namespace: string): PayloadCodec {
  const bindingOf = (context: SerializationContext | undefined): Binding => {
    if (context !== undefined && context.namespace !== namespace) throw refused('it belongs to another namespace');
    return { namespace, workflowId: context?.workflowId === undefined ? null : ownerOf(context.workflowId) };
  };
  return {
    encode: async (payloads, context) => payloads.map((payload) => seal(keys, payload, bindingOf(context))),
    decode: async (payloads, context) => payloads.map((payload) => open(keys, payload, bindingOf(context))),
  };
}

/** A payload as the codec endpoint of Temporal's UI sends it: bytes in Base64. */
export interface WirePayload {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly data?: string;
}

/**
 * Decodes for people who look at histories; there is no way back. The UI says the namespace and not the workflow, so where
 * that is not known, what the payload says of itself is taken, which is true or it does not open; it is shown as
 * `sentinel-workflow-id`. What workers would refuse is marked as refused, so that nobody takes it for theirs.
 */
export function decodeForOperator(
  keys: DataKeys,
  payloads: readonly WirePayload[],
  namespace: string,
  workflowId?: string,
): WirePayload[] {
  return payloads.map((wire) => {
    const payload = fromWire(wire);
    try {
      const claimed = textOf(payload, 'sentinel-workflow-id');
      const binding = { namespace, workflowId: workflowId === undefined ? claimed : ownerOf(workflowId) };
      return toWire(open(keys, payload, binding), { 'sentinel-workflow-id': binding.workflowId ?? '' });
    } catch (error) {
      const reason = error instanceof TrustError ? error.message : 'it cannot be read';
      return toWire(
        { data: Buffer.from(JSON.stringify({ refused: reason, payload: wire })) },
        { encoding: 'json/plain' },
      );
    }
  });
}

/**
 * Encrypts with AES-256-GCM under a key derived from the active data key for this one workflow: in another place the key
 * is another one. It also keeps the random 96-bit nonces safe, since no derived key ever sees many payloads.
 */
function seal(keys: DataKeys, payload: Payload, binding: Binding): Payload {
  const keyId = keys.activeKeyId;
  const iv = randomBytes(ivBytes);
  const sealing = createCipheriv(cipher, keyOf(keys, keyId, binding), iv);
  const body = Buffer.concat([sealing.update(PayloadMessage.encode(payload).finish()), sealing.final()]);
  const metadata = {
    encoding,
    'sentinel-key-id': keyId,
    ...(binding.workflowId === null ? {} : { 'sentinel-workflow-id': binding.workflowId }),
  };
  return { metadata: toBytes(metadata), data: Buffer.concat([iv, body, sealing.getAuthTag()]) };
}

/** @throws TrustError `data.unreadable` */
function open(keys: DataKeys, payload: Payload, binding: Binding): Payload {
  if (textOf(payload, 'encoding') !== encoding) throw refused('it is not encrypted');
  if (textOf(payload, 'sentinel-workflow-id') !== binding.workflowId) throw refused('it belongs to another workflow');
  const data = Buffer.from(payload.data ?? []);
  if (data.length < ivBytes + tagBytes) throw refused('it is cut off');
  const key = keyOf(keys, textOf(payload, 'sentinel-key-id') ?? '', binding);
  const opening = createDecipheriv(cipher, key, data.subarray(0, ivBytes), { authTagLength: tagBytes });
  opening.setAuthTag(data.subarray(-tagBytes));
  try {
    const plain = Buffer.concat([opening.update(data.subarray(ivBytes, -tagBytes)), opening.final()]);
    return PayloadMessage.decode(plain);
  } catch (cause) {
    throw refused('it was changed, or belongs somewhere else', cause);
  }
}

function keyOf(keys: DataKeys, keyId: string, { namespace, workflowId }: Binding): Uint8Array {
  return derivedKey(keys, keyId, ['sentinel/payload/v1', namespace, workflowId]);
}

/** The id that the payloads of a workflow are bound to: its own, or that of the schedule that started it. */
function ownerOf(workflowId: string): string {
  // Actors are never started by a schedule, and a device may be named like a time.
  if (actorKinds.some((kind) => workflowId.startsWith(`${kind}/`))) return workflowId;
  return workflowId.replace(/-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, '');
}

function textOf({ metadata }: Payload, name: string): string | null {
  const bytes =
    metadata !== null && metadata !== undefined && Object.hasOwn(metadata, name) ? metadata[name] : undefined;
  return bytes === undefined ? null : Buffer.from(bytes).toString('utf8');
}

function toBytes(metadata: Readonly<Record<string, string>>): Record<string, Uint8Array> {
  return Object.fromEntries(Object.entries(metadata).map(([name, text]) => [name, Buffer.from(text)]));
}

function fromWire({ metadata = {}, data = '' }: WirePayload): Payload {
  const entries = Object.entries(metadata).map(([name, text]) => [name, Buffer.from(text, 'base64')]);
  return { metadata: Object.fromEntries(entries), data: Buffer.from(data, 'base64') };
}

function toWire({ metadata, data }: Payload, more: Readonly<Record<string, string>>): WirePayload {
  const entries = Object.entries({ ...metadata, ...toBytes(more) });
  return {
    metadata: Object.fromEntries(entries.map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')])),
    data: Buffer.from(data ?? []).toString('base64'),
  };
}

function refused(reason: string, cause?: unknown): TrustError {
  return new TrustError('data.unreadable', { detail: `The payload was refused: ${reason}`, cause });
}

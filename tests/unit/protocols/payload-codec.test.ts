// The payload codec: nothing in clear, and nothing readable outside of the workflow that it belongs to.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultPayloadConverter, type Payload, type SerializationContext } from '@temporalio/common';
import { readDataKeys } from '#protocols/data-keys.ts';
import { createPayloadCodec, decodeForOperator, type WirePayload } from '#protocols/payload-codec.ts';
import { workflowId } from '#protocols/workflow-id.ts';

const text = (seed: number): string =>
  Buffer.from(new Uint8Array(32).map((_, index) => index + seed)).toString('base64url');
const keys = readDataKeys({ old: text(1), new: text(2) }, 'new');
const codec = createPayloadCodec(keys, 'default');

const device: SerializationContext = { type: 'workflow', namespace: 'default', workflowId: 'device/default/device-1' };
const activity: SerializationContext = { ...device, type: 'activity', activityId: '1', isLocal: false };
const withId = (id: string): SerializationContext => ({ ...device, workflowId: id });
const plain = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const valueOf = (payload: Payload | undefined): unknown => defaultPayloadConverter.fromPayload(payload as Payload);

async function encode(value: unknown, context: SerializationContext | undefined = device): Promise<Payload> {
  const [payload] = await codec.encode([plain(value)], context);
  assert.ok(payload);
  return payload;
}

describe('createPayloadCodec', () => {
  it('gives back what it was given, whatever that is', async () => {
    const values = [undefined, null, 1, 'ü', { a: [1, { b: null }] }, new Uint8Array([0, 255])];
    const encoded = await codec.encode(values.map(plain), device);
    assert.deepEqual((await codec.decode(encoded, device)).map(valueOf), values);
    assert.deepEqual(await codec.encode([], device), []);
  });

  it('shows the server nothing of a payload, not even its type', async () => {
    const payload = await encode({ secret: 'hunter2' });
    const seen = Buffer.concat([...Object.values(payload.metadata ?? {}), payload.data ?? new Uint8Array()]).toString(
      'latin1',
    );
    assert.ok(['hunter2', 'secret', 'json/plain'].every((word) => !seen.includes(word)));
    assert.notDeepEqual(payload.data, (await encode({ secret: 'hunter2' })).data);
  });

  it('reads what an activity of the workflow wrote, and the other way round', async () => {
    assert.equal(valueOf((await codec.decode([await encode('a', activity)], device))[0]), 'a');
    assert.equal(
      valueOf((await codec.decode([await encode('b')], { ...activity, activityId: '2', isLocal: true }))[0]),
      'b',
    );
  });

  it('reads what an older key wrote, and writes with the active one (AR-02)', async () => {
    const older = createPayloadCodec({ ...keys, activeKeyId: 'old' }, 'default');
    assert.equal(valueOf((await codec.decode(await older.encode([plain('a')], device), device))[0]), 'a');
    assert.equal(Buffer.from((await encode('b')).metadata?.['sentinel-key-id'] ?? []).toString(), 'new');
  });

  it('gives all runs of a schedule the payloads of the schedule', async () => {
    const scheduled = await encode('args', withId('duty/reconcile'));
    const result = await encode('result', withId('duty/reconcile-2026-12-01T12:00:00Z'));
    for (const payload of [scheduled, result]) {
      await codec.decode([payload], withId('duty/reconcile-2026-12-02T12:00:00Z'));
      await assert.rejects(codec.decode([payload], withId('duty/sweep-2026-12-02T12:00:00Z')), {
        code: 'data.unreadable',
      });
    }
  });

  const elsewhere: readonly [title: string, context: SerializationContext | undefined][] = [
    ['another workflow', withId('device/default/device-2')],
    ['a workflow whose id begins the same', withId('device/default/device-11')],
    ['a device that is named like a run of a schedule', withId('device/default/device-1-2026-12-01T12:00:00Z')],
    ['another project', withId('device/other/device-1')],
    ['another namespace', { ...device, namespace: 'other' }],
    ['an activity of another workflow', { ...activity, workflowId: 'approval/1' }],
    ['an activity without a workflow', { type: 'activity', namespace: 'default', isLocal: false }],
    ['no context', undefined],
  ];
  for (const [title, context] of elsewhere) {
    it(`refuses the payload of a workflow in ${title}`, async () => {
      const payload = await encode('a');
      await assert.rejects(codec.decode([payload], context), { code: 'data.unreadable' });
    });
  }

  it('encrypts what comes without a context, and lets no workflow read it', async () => {
    const [payload] = await codec.encode([plain('a')], undefined);
    assert.ok(payload && !Buffer.from(payload.data ?? []).includes('a"'));
    await assert.rejects(codec.decode([payload], device), { code: 'data.unreadable' });
    assert.equal(valueOf((await codec.decode([payload], undefined))[0]), 'a');
  });

  it('does not encode for another namespace', async () => {
    await assert.rejects(codec.encode([plain('a')], { ...device, namespace: 'other' }), { code: 'data.unreadable' });
  });

  it('is another codec in another namespace', async () => {
    const payload = await encode('a');
    const other = createPayloadCodec(keys, 'other');
    await assert.rejects(other.decode([payload], { ...device, namespace: 'other' }), { code: 'data.unreadable' });
  });

  const relabel = (payload: Payload, more: Record<string, string>): Payload => ({
    ...payload,
    metadata: { ...payload.metadata, ...Object.fromEntries(Object.entries(more).map(([k, v]) => [k, Buffer.from(v)])) },
  });
  const refused: readonly [title: string, change: (payload: Payload) => Payload][] = [
    ['that is not encrypted', () => plain('a')],
    ['that is empty', () => ({})],
    ['without metadata', ({ data }) => ({ data: data ?? null })],
    ['without data', ({ metadata }) => ({ metadata: metadata ?? null })],
    ['called plain', (payload) => relabel(payload, { encoding: 'json/plain' })],
    ['of a key that is not there', (payload) => relabel(payload, { 'sentinel-key-id': 'older' })],
    ['of another key', (payload) => relabel(payload, { 'sentinel-key-id': 'old' })],
    ['of a key named like what every object has', (payload) => relabel(payload, { 'sentinel-key-id': 'constructor' })],
    [
      'relabelled for another workflow',
      (payload) => relabel(payload, { 'sentinel-workflow-id': 'device/default/device-2' }),
    ],
    ['that is cut off', ({ metadata, data }) => ({ metadata: metadata ?? null, data: data?.subarray(0, 20) ?? null })],
    [
      'with bytes after it',
      ({ metadata, data }) => ({
        metadata: metadata ?? null,
        data: Buffer.concat([data ?? Buffer.alloc(0), Buffer.alloc(1)]),
      }),
    ],
  ];
  for (const [title, change] of refused) {
    it(`refuses a payload ${title}`, async () => {
      const payload = change(await encode('a'));
      await assert.rejects(codec.decode([payload], device), { code: 'data.unreadable' });
    });
  }

  it('refuses what was encrypted for one workflow and relabelled for the one that reads it', async () => {
    const stolen = relabel(await encode('a', withId('device/default/device-2')), {
      'sentinel-workflow-id': 'device/default/device-1',
    });
    await assert.rejects(codec.decode([stolen], device), { code: 'data.unreadable' });
  });

  it('refuses a payload with one byte changed, whichever it is', async () => {
    const payload = await encode('a');
    const length = payload.data?.length ?? 0;
    for (let index = 0; index < length; index += 1) {
      const data = Buffer.from(payload.data ?? []);
      data[index] = (data[index] ?? 0) ^ 0x01;
      await assert.rejects(codec.decode([{ ...payload, data }], device), { code: 'data.unreadable' }, `byte ${index}`);
    }
  });

  it('refuses all when one of them is refused', async () => {
    await assert.rejects(codec.decode([await encode('a'), plain('b')], device), { code: 'data.unreadable' });
  });
});

describe('decodeForOperator', () => {
  const wire = ({ metadata, data }: Payload): WirePayload => ({
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([k, v]) => [k, Buffer.from(v).toString('base64')]),
    ),
    data: Buffer.from(data ?? []).toString('base64'),
  });
  const read = (payload: WirePayload | undefined): unknown =>
    JSON.parse(Buffer.from(payload?.data ?? '', 'base64').toString());
  const label = (payload: WirePayload | undefined): string =>
    Buffer.from(payload?.metadata?.['sentinel-workflow-id'] ?? '', 'base64').toString();

  it('decodes without being told the workflow, and shows which one it was', async () => {
    const [decoded] = decodeForOperator(keys, [wire(await encode({ a: 1 }))], 'default');
    assert.deepEqual(read(decoded), { a: 1 });
    assert.equal(label(decoded), 'device/default/device-1');
    assert.equal(Buffer.from(decoded?.metadata?.encoding ?? '', 'base64').toString(), 'json/plain');
  });

  it('decodes what belongs to no workflow, such as the failure of a workflow task', async () => {
    const [payload] = await codec.encode([plain('why')], undefined);
    assert.ok(payload);
    assert.equal(read(decodeForOperator(keys, [wire(payload)], 'default')[0]), 'why');
  });

  it('marks what workers would refuse, and decodes the rest', async () => {
    const payloads = [
      wire(plain('forged')),
      wire(await encode('mine')),
      wire(await encode('other', withId('approval/1'))),
    ];
    const [forged, mine, other] = decodeForOperator(keys, payloads, 'default', 'device/default/device-1');
    assert.deepEqual(read(forged), { refused: 'The payload was refused: it is not encrypted', payload: payloads[0] });
    assert.equal(read(mine), 'mine');
    assert.deepEqual(read(other), {
      refused: 'The payload was refused: it belongs to another workflow',
      payload: payloads[2],
    });
    const [abroad] = decodeForOperator(keys, [wire(await encode('mine'))], 'other');
    assert.match(String((read(abroad) as { refused: string }).refused), /belongs somewhere else/);
  });

  it('survives anything that is no payload', () => {
    const odd: WirePayload[] = [{}, { metadata: {} }, { data: '§' }, { metadata: { encoding: 'AAAA' }, data: '' }];
    assert.equal(decodeForOperator(keys, odd, 'default').length, odd.length);
  });
});

describe('workflowId', () => {
  const ref = { kind: 'device', project: 'default', id: 'device-1' } as const;
  const secret = new Uint8Array(32).fill(5);

  it('is the id of the actor in clear', () => {
    assert.equal(workflowId(ref, null), 'device/default/device-1');
    assert.equal(workflowId({ kind: 'approval', project: 'default', id: '1' }, null), 'approval/1');
  });

  it('is a keyed hash that says only the kind when ids are opaque', () => {
    const id = workflowId(ref, secret);
    assert.match(id, /^device\/[A-Za-z0-9_-]{43}$/);
    assert.equal(workflowId(ref, secret), id);
    const others = [
      workflowId({ ...ref, id: 'device-2' }, secret),
      workflowId({ ...ref, project: 'other' }, secret),
      workflowId(ref, new Uint8Array(32).fill(6)),
    ];
    assert.equal(new Set([id, ...others]).size, 4);
  });

  it('cannot be hashed with a short key', () => assert.throws(() => workflowId(ref, new Uint8Array(8)), RangeError));
});

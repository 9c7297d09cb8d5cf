// The durable actor of one device: what can be said to it, and how its machine's calls are carried out.
import { deviceActor as definition } from '#machines/device-actor.ts';
import type { DeviceCall, DeviceEvent } from '#machines/device-events.ts';
import { continueAsNew, setHandler } from '@temporalio/workflow';
import {
  callsNearby,
  commit,
  fetchDeviceNews,
  openApproval,
  readApproval,
  verifyEvidence,
  withdrawApproval,
} from './activities.ts';
import { createDurableActor, type Resumed, type Unstamped } from './actor.ts';
import {
  approvalClosedUpdate,
  catchUpUpdate,
  newsSignal,
  resetUpdate,
  retireUpdate,
  standingQuery,
  verifySignal,
  type DeviceRequest,
  type DeviceStart,
} from './messages.ts';

type Said = Unstamped<DeviceEvent>;

const reset = ({ reason }: DeviceRequest): Said => ({ type: 'device.reset', reason });
const retire = ({ reason }: DeviceRequest): Said => ({ type: 'device.retire', reason });

/**
 * One device, for ever: revoked, rejected and retired are states, not ends.
 *
 * @param resumed what the run before handed over; absent at the first start.
 */
export async function deviceActor(start: DeviceStart, resumed?: Resumed): Promise<void> {
  const actor = createDurableActor({
    definition,
    ref: { kind: 'device', project: start.project, id: start.id },
    input: start,
    resumed,
    commit,
    perform: (call) => perform(call as DeviceCall),
    looksFirst: callsNearby,
  });

  setHandler(newsSignal, () => actor.tell({ type: 'news.announced' }));
  setHandler(verifySignal, () => actor.verify());
  setHandler(standingQuery, () => actor.standing());
  setHandler(resetUpdate, (request) => actor.ask(reset(request), request), {
    validator: (request) => actor.refuse(reset(request), request),
  });
  setHandler(retireUpdate, (request) => actor.ask(retire(request), request), {
    validator: (request) => actor.refuse(retire(request), request),
  });
  setHandler(catchUpUpdate, (origin) => actor.ask({ type: 'news.announced' }, origin), {
    validator: (origin) => actor.refuse({ type: 'news.announced' }, origin),
  });
  setHandler(approvalClosedUpdate, ({ approval_id, ...origin }) =>
    actor.ask({ type: 'approval.closed', approval_id }, origin),
  );

  await actor.run((handover) => continueAsNew<typeof deviceActor>(start, handover));
}

async function perform(call: DeviceCall): Promise<Said | null> {
  switch (call.name) {
    case 'news.fetch':
      return { type: 'news.fetched', ...(await fetchDeviceNews(call.input)) };
    case 'evidence.verify':
      return { type: 'evidence.verified', ...(await verifyEvidence(call.input)) };
    case 'approval.read':
      return {
        type: 'approval.read',
        approval_id: call.input.approval_id,
        approval: await readApproval(call.input),
      };
    case 'approval.open':
      await openApproval(call.input);
      return null;
    case 'approval.withdraw':
      await withdrawApproval(call.input);
      return null;
  }
}

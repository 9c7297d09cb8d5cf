// What actors can do at all: write down, require, and ask other actors. Nothing on this list reaches an endpoint.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { initialTransition, transition, type AnyStateMachine } from 'xstate';
import { type Taken } from '#bench/simulate/model-actor.ts';
import { auditCategories } from '#contracts/states.ts';
import { approvalActor } from '#machines/approval.ts';
import { deviceActor } from '#machines/device-actor.ts';
import * as approvals from './approvals.ts';
import * as devices from './devices.ts';
import { after, search } from './machines.ts';

/** Everything that a machine may ask for. Whoever adds an entry decides in the open whether enforcement begins here. */
const calls = {
  device: ['approval.open', 'approval.read', 'approval.withdraw', 'evidence.verify', 'news.fetch'],
  approval: ['outcome.deliver', 'votes.confirm'],
};
const requirements = ['approval.consumed', 'voters.stand'];

/** Actions of a machine’s configuration that are not assignments: what the driver would have to carry out. */
function effectTypes(machine: AnyStateMachine): string[] {
  const [, actions] = initialTransition(machine, approvals.input(1) as never);
  return actions.map(({ type }) => type);
}

const folder = (name: string): string => fileURLToPath(new URL(`../../../${name}/`, import.meta.url));

describe('effects of actors (HB-17)', () => {
  const seen = { device: new Set<string>(), approval: new Set<string>() };
  const look = (kind: keyof typeof seen, taken: Taken<unknown>): void => {
    for (const type of taken.actions)
      assert.ok(['record', 'require', 'call'].includes(type), `an effect of its own: ${type}`);
    for (const { name } of taken.calls) seen[kind].add(name);
    for (const { kind: required } of taken.requirements) assert.ok(requirements.includes(required), required);
    for (const { category, action } of taken.records) {
      assert.ok(auditCategories.includes(category));
      assert.match(action, /^(device|approval)\.[a-z_.]+$/);
    }
  };

  it('of a device are records, requirements and calls from a closed list, on every path', () => {
    search(deviceActor, devices.unknown, {
      depth: 3,
      eventsOf: (device, step) => [
        devices.news(device, { presents: 'first' }),
        devices.news(device, { presents: 'second', tags: ['payments'] }),
        devices.news(device, { presents: 'third', policy: devices.openWindow }),
        devices.news(device, { revoked: ['first', 'second', 'third'] }),
        devices.news(device, { presents: 'first', standing: devices.standing() }),
        devices.evidence(device),
        devices.evidence(device, { valid: false }),
        devices.approvedBy(device, 'ann', 'bob'),
        devices.read(device, { state: 'rejected' }),
        devices.read(device, null, { at: after(100_000) }),
        devices.operator('device.reset', 'olga', `reset ${step}`),
        devices.operator('device.retire', 'olga', `retire ${step}`),
        devices.adopted(),
        devices.refused(),
        devices.deadline(after(4_000)),
      ],
      visit: ({ taken }) => look('device', taken),
    });
    assert.deepEqual([...seen.device].toSorted(), calls.device);
  });

  it('of an approval are records, requirements and calls from a closed list, on every path', () => {
    search(approvalActor, approvals.openForTwo, {
      depth: 4,
      eventsOf: () => [
        approvals.vote('ann'),
        approvals.vote('bob'),
        approvals.vote('carl', { decision: 'reject' }),
        approvals.confirmed(['ann', 'bob']),
        approvals.confirmed([], ['ann', 'bob']),
        approvals.changed(),
        approvals.withdrawn(),
        approvals.deadline(),
        approvals.said('actor.adopted'),
      ],
      visit: ({ taken }) => look('approval', taken),
    });
    assert.deepEqual([...seen.approval].toSorted(), calls.approval);
    assert.deepEqual(effectTypes(approvalActor.machine), ['record']);
  });

  it('are carried out by the driver as commits and calls, and by nothing else', () => {
    for (const definition of [deviceActor, approvalActor]) {
      const state = definition.machine.resolveState({
        value: definition === deviceActor ? 'pending' : 'open',
        context: definition === deviceActor ? devices.unknown.context : approvals.open.context,
      });
      const [, actions] = transition(definition.machine, state, devices.adopted());
      assert.ok(
        actions.every(({ type }) => !type.startsWith('xstate.')),
        'no timer, child or message of XState',
      );
    }
  });

  it('are decided without clock, randomness or the outside', () => {
    for (const file of readdirSync(folder('machines'))) {
      const source = readFileSync(`${folder('machines')}${file}`, 'utf8');
      const imported = [...source.matchAll(/from '([^']+)'/g)].map((match) => match[1] ?? '');
      for (const name of imported) assert.match(name, /^(xstate|#contracts\/.+|\.\/.+)$/, `${file} imports ${name}`);
      assert.doesNotMatch(source, /Date\.now|new Date\(\)|Math\.random|randomUUID|process\.|fetch\(|setTimeout/, file);
    }
  });
});

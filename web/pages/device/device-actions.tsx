// What people can do to a device: each act with its consequence, and why it is not offered when it is not.
import type { Device } from '#contracts/http/devices.ts';
import type { Permission } from '#contracts/permissions.ts';
import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Client } from '#client/client.ts';
import { useMe, useServices } from '../../data/services.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Panel } from '../../parts/page.tsx';
import { say } from '../../parts/say.ts';
import { missingPermission } from '../../words/permission.ts';
import classes from './device-actions.module.css';

interface Act {
  readonly verb: string;
  readonly permission: Permission;
  readonly summary: string;
  readonly consequences: readonly string[];
  readonly done: string;
  /** Why it makes no sense now. */
  readonly pointless: (device: Device) => string | null;
  readonly run: (client: Client, device: Device, body: { reason?: string }) => Promise<Device>;
}

const acts: readonly Act[] = [
  {
    verb: 'Retire the device',
    permission: 'device.retire',
    summary: 'Takes it out of service. Its heartbeats are refused; what is known of it stays.',
    consequences: [
      'Its heartbeats are refused from now on.',
      'Its tier becomes restricted.',
      'A review that waits is cancelled. A reset takes the device back.',
    ],
    done: 'The device is retired',
    pointless: (device) => (device.retired ? 'It is retired already.' : null),
    run: (client, device, body) => client.devices.retire(device.device_id, body),
  },
  {
    verb: 'Reset the device',
    permission: 'device.reset',
    summary: 'Forgets its certificate and counter, and lets it ask for approval again.',
    consequences: [
      'Its pinned certificate and heartbeat counter are cleared, and a new epoch begins.',
      'It is pending again until people approve it; you count as requester and cannot vote.',
      'A certificate that was revoked stays refused.',
    ],
    done: 'The device is reset',
    pointless: () => null,
    run: (client, device, body) => client.devices.reset(device.device_id, body),
  },
  {
    verb: 'Revoke the certificate',
    permission: 'certificate.revoke',
    summary: 'Takes its trust away at once. The certificate is refused for ever, also after a reset.',
    consequences: [
      'The certificate is refused at once and for ever, also after a reset.',
      'The tier becomes revoked; commands and access that depend on it end.',
      'With a new certificate the device can ask for approval again.',
    ],
    done: 'The certificate is revoked',
    pointless: (device) => {
      if (device.trust_tier === 'revoked') return 'Its certificate is revoked already.';
      return device.certificate === null ? 'It has no certificate to revoke.' : null;
    },
    run: (client, device, body) =>
      client.devices.revoke(device.device_id, {
        ...body,
        // What the person saw: if another certificate is pinned by now, it is not the one they meant.
        ...(device.certificate === null ? {} : { fingerprint_sha256: device.certificate.fingerprint_sha256 }),
      }),
  },
];

export function DeviceActions({ device }: { readonly device: Device }) {
  return (
    <Panel title="Actions">
      <ul className={classes['acts']}>
        {acts.map((act) => (
          <ActRow key={act.verb} act={act} device={device} />
        ))}
      </ul>
    </Panel>
  );
}

function ActRow({ act, device }: { readonly act: Act; readonly device: Device }) {
  const { client, queries } = useServices();
  const cache = useQueryClient();
  const [isOpen, setIsOpen] = useState(false);
  const barrier = missingPermission(useMe(), act.permission) ?? act.pointless(device);
  const run = useMutation({
    mutationFn: (reason: string | undefined) => act.run(client, device, reason === undefined ? {} : { reason }),
    onSuccess: (after) => {
      cache.setQueryData(queries.device(device.device_id).queryKey, after);
      setIsOpen(false);
      say({ title: act.done, message: device.device_id });
    },
    onSettled: () =>
      Promise.all([
        cache.invalidateQueries({ queryKey: ['devices'] }),
        cache.invalidateQueries({ queryKey: ['approvals'] }),
        cache.invalidateQueries({ queryKey: ['audit'] }),
      ]),
  });
  return (
    <li>
      <div>
        <h3>{act.verb}</h3>
        <p>{act.summary}</p>
        {barrier !== null && <p className={classes['barrier']}>{barrier}</p>}
      </div>
      <Button
        variant="default"
        size="compact-md"
        className={classes['danger'] ?? ''}
        disabled={barrier !== null}
        aria-label={`${act.verb}…`}
        onClick={() => {
          run.reset();
          setIsOpen(true);
        }}
      >
        {act.verb.split(' ')[0]}…
      </Button>
      <Confirm
        opened={isOpen}
        onClose={() => setIsOpen(false)}
        act={act.verb}
        consequences={act.consequences}
        name={device.device_id}
        isPending={run.isPending}
        error={run.error}
        onConfirm={(reason) => run.mutate(reason)}
      />
    </li>
  );
}

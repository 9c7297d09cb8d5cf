// What people can do to a device: each act with its consequence, and why it is not offered when it is not.
import type { Device } from '#contracts/http/devices.ts';
import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { deviceActs, type DeviceAct } from '../../data/device-acts.ts';
import { useMe, useServices } from '../../data/services.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Panel } from '../../parts/page.tsx';
import { say } from '../../parts/say.ts';
import { missingPermission } from '../../words/permission.ts';
import classes from './device-actions.module.css';

export function DeviceActions({ device }: { readonly device: Device }) {
  return (
    <Panel title="Actions">
      <ul className={classes['acts']}>
        {deviceActs.map((act) => (
          <ActRow key={act.verb} act={act} device={device} />
        ))}
      </ul>
    </Panel>
  );
}

function ActRow({ act, device }: { readonly act: DeviceAct; readonly device: Device }) {
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

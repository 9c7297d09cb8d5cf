// What can be done with the devices that are selected: select the rest that match, act on all, take them along as a file.
import type { Device, DeviceFilterQuery } from '#contracts/http/devices.ts';
import { Button, Group, Menu } from '@mantine/core';
import { IconChevronDown, IconCopy, IconDownload, IconX } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { lazy, Suspense, useState } from 'react';
import { readAll } from '../../data/bulk.ts';
import { deviceActs, type DeviceAct } from '../../data/device-acts.ts';
import { useMe, useServices } from '../../data/services.tsx';
import { say } from '../../parts/say.ts';
import { counted } from '../../words/names.ts';
import type * as Export from '../../words/export.ts';
import { missingPermission } from '../../words/permission.ts';
import classes from './selection-bar.module.css';

const BulkDialog = lazy(() => import('./bulk-dialog.tsx').then((file) => ({ default: file.BulkDialog })));

/** More are not selected at once: what is done to all of them takes its time and is looked at one by one. */
export const selectionLimit = 10_000;
const pageSize = 500;

interface SelectionBarProps {
  readonly selected: ReadonlyMap<string, Device>;
  readonly filter: DeviceFilterQuery;
  /** How many match the filter; undefined while that is not counted. */
  readonly matching: number | undefined;
  readonly onChange: (selected: ReadonlyMap<string, Device>) => void;
}

export function SelectionBar({ selected, filter, matching, onChange }: SelectionBarProps) {
  const { client } = useServices();
  const me = useMe();
  const [progress, setProgress] = useState(0);
  const [act, setAct] = useState<{ act: DeviceAct; isOpen: boolean } | null>(null);
  const rest = useMutation({
    mutationFn: () =>
      readAll(
        (cursor) => client.devices.list({ ...filter, limit: pageSize, ...(cursor === undefined ? {} : { cursor }) }),
        {
          limit: selectionLimit,
          onProgress: setProgress,
        },
      ),
    onSuccess: (devices) => onChange(new Map(devices.map((device) => [device.device_id, device]))),
    onError: (error) => say({ tone: 'bad', title: 'Not all devices were selected', message: error.message }),
  });
  const devices = [...selected.values()];
  const most = Math.min(matching ?? 0, selectionLimit);
  return (
    <>
      <section className={classes['bar']} aria-label="Selection">
        <strong role="status">{counted(selected.size, 'device')} selected</strong>
        <Group gap="xs" className={classes['acts'] ?? ''}>
          {most > selected.size && (
            <Button size="compact-sm" variant="subtle" loading={rest.isPending} onClick={() => rest.mutate()}>
              {rest.isPending
                ? `${progress.toLocaleString()} read`
                : `Select ${(matching ?? 0) > selectionLimit ? 'the first' : 'all'} ${most.toLocaleString()}`}
            </Button>
          )}
          {deviceActs.map((one) => {
            const barrier = missingPermission(me, one.permission);
            return (
              <Button
                key={one.name}
                size="compact-sm"
                variant="default"
                disabled={barrier !== null}
                title={barrier ?? one.summary}
                onClick={() => setAct({ act: one, isOpen: true })}
              >
                {one.verb.split(' ')[0]}…
              </Button>
            );
          })}
          <Menu position="bottom-end" shadow="md" withInitialFocusPlaceholder={false}>
            <Menu.Target>
              <Button size="compact-sm" variant="default" rightSection={<IconChevronDown size={14} aria-hidden />}>
                Take along
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item
                leftSection={<IconDownload size={15} aria-hidden />}
                onClick={() => void download('devices.csv', 'text/csv', (file) => file.devicesCsv(devices))}
              >
                As CSV
              </Menu.Item>
              <Menu.Item
                leftSection={<IconDownload size={15} aria-hidden />}
                onClick={() => void download('devices.json', 'application/json', (file) => file.devicesJson(devices))}
              >
                As JSON
              </Menu.Item>
              <Menu.Item
                leftSection={<IconCopy size={15} aria-hidden />}
                onClick={() => void copyIds(devices.map(({ device_id }) => device_id))}
              >
                Copy the ids
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
          <Button
            size="compact-sm"
            variant="subtle"
            color="gray"
            leftSection={<IconX size={14} aria-hidden />}
            onClick={() => onChange(new Map())}
          >
            Clear the selection
          </Button>
        </Group>
      </section>
      {act !== null && (
        <Suspense>
          <BulkDialog
            act={act.act}
            devices={devices}
            opened={act.isOpen}
            onClose={() => setAct({ ...act, isOpen: false })}
          />
        </Suspense>
      )}
    </>
  );
}

async function copyIds(ids: readonly string[]): Promise<void> {
  try {
    await navigator.clipboard.writeText(ids.join('\n'));
    say({ title: 'Copied', message: counted(ids.length, 'device id') });
  } catch {
    say({ tone: 'bad', title: 'Not copied', message: 'The browser does not let this page use the clipboard.' });
  }
}

async function download(name: string, type: string, make: (file: typeof Export) => string): Promise<void> {
  const text = make(await import('../../words/export.ts'));
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}

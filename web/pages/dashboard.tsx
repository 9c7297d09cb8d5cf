// The operator dashboard: what waits, and the fleet as a live table; every filter and the page are in the address.
import { ApiProblem } from '#client/api-problem.ts';
import type { Device, DeviceFilterQuery } from '#contracts/http/devices.ts';
import type { DeviceOrder } from '#contracts/states.ts';
import { Button } from '@mantine/core';
import { IconDevicesOff, IconFilterOff } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute, useNavigate } from '@tanstack/react-router';
import { useHeldRows } from '../data/held.ts';
import { lazy, Suspense, useState } from 'react';
import { useBarrier, useServices } from '../data/services.tsx';
import { Command } from '../parts/copy.tsx';
import { DataTable, type Selection } from '../parts/data-table.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { Pager } from '../parts/pager.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { Barrier } from '../parts/barrier.tsx';
import { WaitingPanel } from '../parts/waiting.tsx';
import { parseFleetSearch, refined } from '../search.ts';
import { counted } from '../words/names.ts';
import { FleetFilters, type FleetChange } from './fleet/fleet-filters.tsx';
import { DeviceCard, fleetColumns } from './fleet/fleet-table.tsx';
import { SavedFilters } from './fleet/saved-filters.tsx';
import { TierCounts } from './fleet/tier-counts.tsx';

export const dashboardRoute = createLazyRoute('/signed-in/dashboard')({ component: Dashboard });

const pageSize = 50;

/** Most visits select nothing. */
const SelectionBar = lazy(() => import('./fleet/selection-bar.tsx').then((file) => ({ default: file.SelectionBar })));

/** Devices that are selected, and the filters they were selected under. */
interface Chosen {
  readonly of: string;
  readonly devices: ReadonlyMap<string, Device>;
}

const withOrder = (filters: DeviceFilterQuery, order: DeviceOrder | undefined): DeviceFilterQuery =>
  order === undefined ? filters : { ...filters, order };

function Dashboard() {
  const search = dashboardRoute.useSearch({ select: parseFleetSearch });
  const navigate = useNavigate({ from: '/dashboard' });
  const { queries } = useServices();
  const barrier = useBarrier('device.read');
  const devices = useQuery({ ...queries.devices({ limit: pageSize, ...search }), enabled: barrier === null });
  const { cursor, limit: _, order: __, ...filters } = search;
  const counting = useQuery({ ...queries.deviceCounts(filters), enabled: barrier === null });
  const counts = counting.data;
  // While the list before is shown in place of the one that is being read, another key lets the new one in.
  const held = useHeldRows(
    devices.data?.items,
    `${JSON.stringify(search)} ${devices.isPlaceholderData}`,
    ({ device_id }) => device_id,
  );
  const { rows } = held;
  const key = JSON.stringify(filters);
  // What was selected among others is not what is on the screen.
  const [chosen, setChosen] = useState<Chosen>({ of: key, devices: new Map() });
  const selected = chosen.of === key ? chosen.devices : new Map<string, Device>();
  const selection: Selection<Device> = {
    has: ({ device_id }) => selected.has(device_id),
    nameOf: ({ device_id }) => device_id,
    change: (some, isChosen) => {
      const next = new Map(selected);
      for (const device of some) {
        if (isChosen) next.set(device.device_id, device);
        else next.delete(device.device_id);
      }
      setChosen({ of: key, devices: next });
    },
  };
  const isFiltered = Object.keys(filters).length > 0;

  const change = (part: FleetChange) => void navigate({ search: refined(search, part), replace: 'search' in part });
  const clear = () => void navigate({ search: {} });

  if (barrier !== null) {
    return (
      <Page title="Fleet">
        <Barrier text={barrier} />
      </Page>
    );
  }

  return (
    <Page
      title="Fleet"
      description={
        counting.error !== null ? (
          <CountProblem error={counting.error} />
        ) : counts === undefined ? (
          'Every device with its trust, live.'
        ) : (
          `${counted(counts.matching, 'device')}${isFiltered ? (counts.matching === 1 ? ' matches' : ' match') : ''}, live.`
        )
      }
      actions={
        <>
          <Freshness query={devices} held={held.changes > 0} changes={{ count: held.changes, apply: held.apply }} />
          <SavedFilters present={withOrder(filters, search.order)} />
        </>
      }
    >
      <WaitingPanel quiet />
      <TierCounts
        counts={counts?.trust_tier}
        chosen={search.trust_tier}
        onChoose={(tier) => change({ trust_tier: tier })}
      />
      <Panel
        title="Devices"
        flush
        actions={<FleetFilters search={search} counts={counts} isFiltered={isFiltered} onChange={change} />}
      >
        {devices.error !== null && rows === undefined && (
          <ProblemAlert error={devices.error} onRetry={() => void devices.refetch()} />
        )}
        {devices.error === null && rows === undefined && <Loading rows={8} label="Reading the fleet" />}
        {rows !== undefined && rows.length === 0 && (isFiltered ? <NoMatch onClear={clear} /> : <NoDevices />)}
        {rows !== undefined && rows.length > 0 && (
          <DataTable
            caption="Devices"
            columns={fleetColumns}
            rows={rows}
            rowKey={(device) => device.device_id}
            onOpen={(device) =>
              void navigate({ to: '/devices/$deviceId', params: { deviceId: device.device_id }, search: {} })
            }
            card={(device) => <DeviceCard device={device} />}
            pointer={held.pointer}
            selection={selection}
          />
        )}
        {rows !== undefined && rows.length > 0 && (
          <Pager
            shown={`${counted(rows.length, 'device')}${isFiltered ? ' that match' : ''} on this page`}
            next={devices.data?.next_cursor ?? null}
            isFirst={cursor === undefined}
            onNext={(next) => void navigate({ search: { ...search, cursor: next } })}
            onFirst={() => change({})}
          />
        )}
      </Panel>
      {selected.size > 0 && (
        <Suspense>
          <SelectionBar
            selected={selected}
            filter={withOrder(filters, search.order)}
            matching={counts?.matching}
            onChange={(next) => setChosen({ of: key, devices: next })}
          />
        </Suspense>
      )}
    </Page>
  );
}

/** Counting is for orientation: when it fails, the list goes on. */
function CountProblem({ error }: { readonly error: Error }) {
  const isSlow = error instanceof ApiProblem && error.code === 'device.count_too_slow';
  return (
    <span role="status">
      {isSlow ? 'Counting takes too long; the list is not affected.' : `Not counted: ${error.message}`}
    </span>
  );
}

function NoMatch({ onClear }: { readonly onClear: () => void }) {
  return (
    <Nothing
      icon={IconFilterOff}
      title="No device matches"
      actions={
        <Button variant="default" size="compact-md" onClick={onClear}>
          Clear the filters
        </Button>
      }
    >
      All filters have to hold at once. The search looks at device and host names.
    </Nothing>
  );
}

function NoDevices() {
  return (
    <Nothing icon={IconDevicesOff} title="No device has been heard yet">
      <p>Issue a certificate and start the agent with it: its first heartbeat opens a review here.</p>
      <Command line="npx --no-install sentinel ca issue my-device --out my-device" />
    </Nothing>
  );
}

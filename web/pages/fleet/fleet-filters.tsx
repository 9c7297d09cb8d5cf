// The filters of the fleet; they show the address and change nothing else.
import type { DeviceListQuery } from '#contracts/http/devices.ts';
import { deviceApprovalStates, livenessStates } from '#contracts/states.ts';
import { Button, NativeSelect } from '@mantine/core';
import { IconSearch, IconTag } from '@tabler/icons-react';
import { TypedFilter } from '../../parts/typed-filter.tsx';
import { deviceApprovalWords, livenessWords } from '../../words/states.ts';
import classes from './fleet-filters.module.css';

type Change = { [Name in keyof DeviceListQuery]?: DeviceListQuery[Name] | undefined };

interface FleetFiltersProps {
  readonly search: DeviceListQuery;
  readonly onChange: (change: Change) => void;
}

export function FleetFilters({ search, onChange }: FleetFiltersProps) {
  const chosen = <Name extends string>(names: readonly Name[], value: string) => names.find((name) => name === value);
  const { limit: _, cursor: __, ...filters } = search;
  return (
    <div className={classes['filters']} role="search" aria-label="Filter the fleet" data-print="hide">
      <TypedFilter
        label="Search"
        placeholder="Device or host name"
        icon={<IconSearch size={15} aria-hidden />}
        value={search.search ?? ''}
        onChange={(text) => onChange({ search: text === '' ? undefined : text })}
      />
      <NativeSelect
        size="xs"
        aria-label="Approval"
        value={search.approval_state ?? ''}
        onChange={(event) => onChange({ approval_state: chosen(deviceApprovalStates, event.currentTarget.value) })}
        data={[
          { value: '', label: 'Any approval' },
          ...deviceApprovalStates.map((value) => ({ value, label: deviceApprovalWords[value].label })),
        ]}
      />
      <NativeSelect
        size="xs"
        aria-label="Liveness"
        value={search.liveness ?? ''}
        onChange={(event) => onChange({ liveness: chosen(livenessStates, event.currentTarget.value) })}
        data={[
          { value: '', label: 'Any liveness' },
          ...livenessStates.map((value) => ({ value, label: livenessWords[value].label })),
        ]}
      />
      <NativeSelect
        size="xs"
        aria-label="Review"
        value={search.pending_review === true ? 'true' : ''}
        onChange={(event) => onChange({ pending_review: event.currentTarget.value === 'true' ? true : undefined })}
        data={[
          { value: '', label: 'Any review state' },
          { value: 'true', label: 'Under review' },
        ]}
      />
      <TypedFilter
        label="Tag"
        placeholder="Tag"
        icon={<IconTag size={15} aria-hidden />}
        value={search.tag ?? ''}
        onChange={(tag) => onChange({ tag: tag === '' ? undefined : tag })}
        narrow
      />
      {Object.keys(filters).length > 0 && (
        <Button
          size="compact-sm"
          variant="subtle"
          onClick={() =>
            onChange({
              search: undefined,
              approval_state: undefined,
              liveness: undefined,
              pending_review: undefined,
              tag: undefined,
              trust_tier: undefined,
            })
          }
        >
          Clear
        </Button>
      )}
    </div>
  );
}

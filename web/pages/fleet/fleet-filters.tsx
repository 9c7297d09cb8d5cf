// The filters of the fleet; they show the address and change nothing else.
import type { DeviceListQuery } from '#contracts/http/devices.ts';
import { deviceApprovalStates, livenessStates } from '#contracts/states.ts';
import { Button, CloseButton, NativeSelect, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconSearch, IconTag } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
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

interface TypedFilterProps {
  readonly label: string;
  readonly placeholder: string;
  readonly icon: React.ReactNode;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly narrow?: boolean;
}

/** Follows what is typed after a moment, and the address at once. */
function TypedFilter({ label, placeholder, icon, value, onChange, narrow = false }: TypedFilterProps) {
  const [typed, setTyped] = useState(value);
  const settle = useDebouncedCallback(onChange, 300);
  useEffect(() => setTyped(value), [value]);
  return (
    <TextInput
      size="xs"
      className={(narrow ? classes['narrow'] : classes['typed']) ?? ''}
      aria-label={label}
      placeholder={placeholder}
      maxLength={64}
      leftSection={icon}
      rightSection={
        typed !== '' && (
          <CloseButton
            size="xs"
            aria-label={`Clear ${label.toLowerCase()}`}
            onClick={() => {
              setTyped('');
              onChange('');
            }}
          />
        )
      }
      value={typed}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        settle(event.currentTarget.value.trim());
      }}
    />
  );
}

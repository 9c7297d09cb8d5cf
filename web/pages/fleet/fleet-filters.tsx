// The filters of the fleet with how many devices each choice has; they show the address and change nothing else.
import type { DeviceCounts, DeviceListQuery } from '#contracts/http/devices.ts';
import { deviceApprovalStates, deviceOrders, livenessStates, rotationAdvice } from '#contracts/states.ts';
import { Button, NativeSelect } from '@mantine/core';
import { IconSearch, IconTag } from '@tabler/icons-react';
import { TypedFilter } from '../../parts/typed-filter.tsx';
import { orderWords } from '../../words/filter.ts';
import { deviceApprovalWords, livenessWords, rotationWords } from '../../words/states.ts';
import classes from './fleet-filters.module.css';

export type FleetChange = { [Name in keyof DeviceListQuery]?: DeviceListQuery[Name] | undefined };

/** Every filter off, as one change. */
const noFilters = {
  search: undefined,
  approval_state: undefined,
  liveness: undefined,
  rotation: undefined,
  pending_review: undefined,
  retired: undefined,
  tag: undefined,
  trust_tier: undefined,
} as const satisfies FleetChange;

interface FleetFiltersProps {
  readonly search: DeviceListQuery;
  readonly counts: DeviceCounts | undefined;
  readonly isFiltered: boolean;
  readonly onChange: (change: FleetChange) => void;
}

export function FleetFilters({ search, counts, isFiltered, onChange }: FleetFiltersProps) {
  return (
    <div className={classes['filters']} role="search" aria-label="Filter the fleet" data-print="hide">
      <TypedFilter
        label="Search"
        placeholder="Device or host name"
        icon={<IconSearch size={15} aria-hidden />}
        value={search.search ?? ''}
        onChange={(text) => onChange({ search: text === '' ? undefined : text })}
      />
      <Choice
        label="Approval"
        any="Any approval"
        value={search.approval_state}
        choices={deviceApprovalStates.map((value) => ({
          value,
          label: deviceApprovalWords[value].label,
          count: counts?.approval_state[value],
        }))}
        onChange={(approval_state) => onChange({ approval_state })}
      />
      <Choice
        label="Liveness"
        any="Any liveness"
        value={search.liveness}
        choices={livenessStates.map((value) => ({
          value,
          label: livenessWords[value].label,
          count: counts?.liveness[value],
        }))}
        onChange={(liveness) => onChange({ liveness })}
      />
      <Choice
        label="Certificate"
        any="Any certificate"
        value={search.rotation}
        choices={rotationAdvice.map((value) => ({
          value,
          label: value === 'none' ? 'No rotation due' : rotationWords[value].label,
          count: counts?.rotation[value],
        }))}
        onChange={(rotation) => onChange({ rotation })}
      />
      <Choice
        label="Review"
        any="Any review state"
        value={yesNo(search.pending_review)}
        choices={[
          { value: 'true', label: 'Under review', count: counts?.pending_review.true },
          { value: 'false', label: 'Not under review', count: counts?.pending_review.false },
        ]}
        onChange={(value) => onChange({ pending_review: value === undefined ? undefined : value === 'true' })}
      />
      <Choice
        label="Service"
        any="Any service state"
        value={yesNo(search.retired)}
        choices={[
          { value: 'false', label: 'In service', count: counts?.retired.false },
          { value: 'true', label: 'Retired', count: counts?.retired.true },
        ]}
        onChange={(value) => onChange({ retired: value === undefined ? undefined : value === 'true' })}
      />
      <TypedFilter
        label="Tag"
        placeholder="Tag"
        icon={<IconTag size={15} aria-hidden />}
        value={search.tag ?? ''}
        onChange={(tag) => onChange({ tag: tag === '' ? undefined : tag })}
        narrow
      />
      <NativeSelect
        size="xs"
        className={classes['choice'] ?? ''}
        aria-label="Order"
        value={search.order ?? 'device_id'}
        onChange={({ currentTarget }) => {
          const order = deviceOrders.find((name) => name === currentTarget.value);
          onChange({ order: order === 'device_id' ? undefined : order });
        }}
        data={deviceOrders.map((value) => ({ value, label: orderWords[value] }))}
      />
      {isFiltered && (
        <Button size="compact-sm" variant="subtle" onClick={() => onChange(noFilters)}>
          Clear
        </Button>
      )}
    </div>
  );
}

const yesNo = (value: boolean | undefined) => (value === undefined ? undefined : value ? 'true' : 'false');

interface ChoiceProps<Name extends string> {
  readonly label: string;
  readonly any: string;
  readonly value: Name | undefined;
  readonly choices: readonly { readonly value: Name; readonly label: string; readonly count: number | undefined }[];
  readonly onChange: (value: Name | undefined) => void;
}

function Choice<const Name extends string>({ label, any, value, choices, onChange }: ChoiceProps<Name>) {
  return (
    <NativeSelect
      size="xs"
      className={classes['choice'] ?? ''}
      aria-label={label}
      data-chosen={value !== undefined}
      value={value ?? ''}
      onChange={({ currentTarget }) => onChange(choices.find((one) => one.value === currentTarget.value)?.value)}
      data={[
        { value: '', label: any },
        ...choices.map((choice) => ({
          value: choice.value,
          label: choice.count === undefined ? choice.label : `${choice.label} (${choice.count.toLocaleString()})`,
        })),
      ]}
    />
  );
}

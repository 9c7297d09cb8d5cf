// The filters of the audit trail; exact ones, since the trail is looked up by its indexes.
import type { AuditListQuery } from '#contracts/http/audit.ts';
import { auditCategories, outcomes, subjectKinds } from '#contracts/states.ts';
import { Button, NativeSelect, Popover, SimpleGrid, TextInput } from '@mantine/core';
import { IconFilter } from '@tabler/icons-react';
import { useState } from 'react';
import { plainName } from '../../words/names.ts';
import { categoryWords, outcomeWords } from '../../words/states.ts';
import classes from './audit-filters.module.css';

type Change = { [Name in keyof AuditListQuery]?: AuditListQuery[Name] | undefined };

interface AuditFiltersProps {
  readonly search: AuditListQuery;
  readonly onChange: (change: Change) => void;
}

const hidden = ['action', 'actor_id', 'subject_kind', 'subject_id', 'since', 'until'] as const;

export function AuditFilters({ search, onChange }: AuditFiltersProps) {
  const chosen = <Name extends string>(names: readonly Name[], value: string) => names.find((name) => name === value);
  const more = hidden.filter((name) => search[name] !== undefined).length;
  const { limit: _, cursor: __, order: ___, ...filters } = search;
  return (
    <div className={classes['filters']} role="search" aria-label="Filter the audit trail" data-print="hide">
      <NativeSelect
        size="xs"
        aria-label="Category"
        value={search.category ?? ''}
        onChange={(event) => onChange({ category: chosen(auditCategories, event.currentTarget.value) })}
        data={[
          { value: '', label: 'Any category' },
          ...auditCategories.map((value) => ({ value, label: categoryWords[value] })),
        ]}
      />
      <NativeSelect
        size="xs"
        aria-label="Outcome"
        value={search.outcome ?? ''}
        onChange={(event) => onChange({ outcome: chosen(outcomes, event.currentTarget.value) })}
        data={[
          { value: '', label: 'Any outcome' },
          ...outcomes.map((value) => ({ value, label: outcomeWords[value].label })),
        ]}
      />
      <NativeSelect
        size="xs"
        aria-label="Order"
        value={search.order ?? 'newest'}
        onChange={(event) => onChange({ order: event.currentTarget.value === 'oldest' ? 'oldest' : undefined })}
        data={[
          { value: 'newest', label: 'Newest first' },
          { value: 'oldest', label: 'Oldest first' },
        ]}
      />
      <MoreFilters search={search} onChange={onChange} count={more} />
      {Object.keys(filters).length > 0 && (
        <Button
          size="compact-sm"
          variant="subtle"
          onClick={() => onChange(Object.fromEntries(Object.keys(filters).map((name) => [name, undefined])))}
        >
          Clear
        </Button>
      )}
    </div>
  );
}

/** Shown again with what the address says each time it opens; used when it is sent. */
function MoreFilters({ search, onChange, count }: AuditFiltersProps & { readonly count: number }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <Popover
      opened={isOpen}
      onChange={setIsOpen}
      position="bottom-end"
      width="min(440px, calc(100vw - 24px))"
      shadow="md"
      trapFocus
      withRoles
    >
      <Popover.Target>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconFilter size={14} aria-hidden />}
          onClick={() => setIsOpen(!isOpen)}
        >
          {count === 0 ? 'More filters' : `More filters (${count})`}
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label="More filters">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            onChange(changeOf(new FormData(event.currentTarget)));
            setIsOpen(false);
          }}
        >
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm" verticalSpacing="xs">
            <TextInput size="xs" name="action" label="Action" maxLength={128} defaultValue={search.action ?? ''} />
            <TextInput size="xs" name="actor_id" label="By" maxLength={128} defaultValue={search.actor_id ?? ''} />
            <NativeSelect
              size="xs"
              name="subject_kind"
              label="On what kind"
              defaultValue={search.subject_kind ?? ''}
              data={[{ value: '', label: 'Any' }, ...subjectKinds.map((value) => ({ value, label: plainName(value) }))]}
            />
            <TextInput size="xs" name="subject_id" label="On" maxLength={128} defaultValue={search.subject_id ?? ''} />
            <TextInput
              size="xs"
              name="since"
              label="From (your time)"
              type="datetime-local"
              defaultValue={localInput(search.since)}
            />
            <TextInput
              size="xs"
              name="until"
              label="Until (your time)"
              type="datetime-local"
              defaultValue={localInput(search.until)}
            />
            <Button type="submit" size="xs" className={classes['use'] ?? ''}>
              Use these
            </Button>
          </SimpleGrid>
        </form>
      </Popover.Dropdown>
    </Popover>
  );
}

function changeOf(form: FormData): Change {
  const text = (name: string) => {
    const value = form.get(name);
    return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined;
  };
  const instant = (name: string) => {
    const value = text(name);
    return value === undefined ? undefined : new Date(value).toISOString();
  };
  return {
    action: text('action'),
    actor_id: text('actor_id'),
    subject_kind: text('subject_kind'),
    subject_id: text('subject_id'),
    since: instant('since'),
    until: instant('until'),
  };
}

/** An instant as the browser's own field wants it: local, to the minute. */
function localInput(at: string | undefined): string {
  if (at === undefined) return '';
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

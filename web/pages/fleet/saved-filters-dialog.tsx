// Keeps the present filters under a name, and forgets those that are no longer needed.
import type { DeviceFilterQuery } from '#contracts/http/devices.ts';
import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useServices } from '../../data/services.tsx';
import { Loading } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import { filterWords } from '../../words/filter.ts';
import classes from './saved-filters-dialog.module.css';

interface SavedFiltersDialogProps {
  readonly present: DeviceFilterQuery;
  readonly opened: boolean;
  readonly onClose: () => void;
}

export function SavedFiltersDialog({ present, opened, onClose }: SavedFiltersDialogProps) {
  return (
    <Modal opened={opened} onClose={onClose} title="Saved filters" size="md">
      <Manage present={present} onClose={onClose} />
    </Modal>
  );
}

function Manage({ present, onClose }: { readonly present: DeviceFilterQuery; readonly onClose: () => void }) {
  const { client, queries } = useServices();
  const cache = useQueryClient();
  const saved = useQuery(queries.savedFilters());
  const [name, setName] = useState('');
  const again = { onSettled: () => cache.invalidateQueries({ queryKey: ['saved-filters'] }) };
  const save = useMutation({
    mutationFn: () => client.savedFilters.save(name.trim(), present),
    onSuccess: () => setName(''),
    ...again,
  });
  const forget = useMutation({ mutationFn: (gone: string) => client.savedFilters.delete(gone), ...again });
  const isKnown = saved.data?.items.some((one) => one.name === name.trim()) === true;
  return (
    <Stack gap="md">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== '' && !save.isPending) save.mutate();
        }}
      >
        <Stack gap="xs">
          <TextInput
            data-autofocus
            label="Name for the present filters"
            description={filterWords(present)}
            maxLength={64}
            autoComplete="off"
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          {save.error !== null && <ProblemAlert error={save.error} title="The filter was not saved" />}
          <Group justify="flex-end">
            <Button type="submit" disabled={name.trim() === ''} loading={save.isPending}>
              {isKnown ? 'Replace' : 'Save'}
            </Button>
          </Group>
        </Stack>
      </form>
      {saved.isPending && <Loading rows={3} label="Reading your filters" />}
      {saved.data === undefined && saved.error !== null && (
        <ProblemAlert error={saved.error} onRetry={() => void saved.refetch()} />
      )}
      {forget.error !== null && <ProblemAlert error={forget.error} title="The filter was not deleted" />}
      {saved.data !== undefined && saved.data.items.length === 0 && (
        <Text size="sm">Only you see the filters that you save, on every device that you sign in from.</Text>
      )}
      {saved.data !== undefined && saved.data.items.length > 0 && (
        <ul className={classes['list']} aria-label="Your filters">
          {saved.data.items.map((filter) => (
            <li key={filter.name}>
              <span>
                <Link to="/dashboard" search={filter.query} onClick={onClose}>
                  {filter.name}
                </Link>
                <small>{filterWords(filter.query)}</small>
              </span>
              <Button
                size="compact-sm"
                variant="default"
                aria-label={`Delete ${filter.name}`}
                loading={forget.isPending && forget.variables === filter.name}
                onClick={() => forget.mutate(filter.name)}
              >
                Delete
              </Button>
            </li>
          ))}
        </ul>
      )}
    </Stack>
  );
}

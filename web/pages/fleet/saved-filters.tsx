// Filters under the names that the person gave them: one click to go there.
import type { DeviceFilterQuery } from '#contracts/http/devices.ts';
import { Button, Menu } from '@mantine/core';
import { IconBookmark, IconChevronDown } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { useServices } from '../../data/services.tsx';

const SavedFiltersDialog = lazy(() =>
  import('./saved-filters-dialog.tsx').then((file) => ({ default: file.SavedFiltersDialog })),
);

export function SavedFilters({ present }: { readonly present: DeviceFilterQuery }) {
  const { queries } = useServices();
  const navigate = useNavigate();
  const [managing, setManaging] = useState<'never' | 'open' | 'closed'>('never');
  const saved = useQuery(queries.savedFilters());
  const filters = saved.data?.items ?? [];
  return (
    <>
      <Menu position="bottom-end" width={260} shadow="md" withInitialFocusPlaceholder={false}>
        <Menu.Target>
          <Button
            size="compact-md"
            variant="default"
            leftSection={<IconBookmark size={15} aria-hidden />}
            rightSection={<IconChevronDown size={14} aria-hidden />}
          >
            Saved filters
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {filters.length === 0 && <Menu.Label>You have saved none yet</Menu.Label>}
          {filters.slice(0, 12).map(({ name, query }) => (
            <Menu.Item key={name} onClick={() => void navigate({ to: '/dashboard', search: query })}>
              {name}
            </Menu.Item>
          ))}
          <Menu.Divider />
          <Menu.Item onClick={() => setManaging('open')}>Save and manage…</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {managing !== 'never' && (
        <Suspense>
          <SavedFiltersDialog present={present} opened={managing === 'open'} onClose={() => setManaging('closed')} />
        </Suspense>
      )}
    </>
  );
}

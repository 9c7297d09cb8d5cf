// Ctrl K: jumps to a page, or to a device by part of its name.
import { Spotlight, type SpotlightRootProps } from '@mantine/spotlight';
import { useDebouncedValue } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { createSpotlight } from '@mantine/spotlight';
import { useEffect, useState } from 'react';
import { useServices } from '../data/services.tsx';
import { tierIcons } from '../parts/badges.tsx';
import { tierWords } from '../words/states.ts';
import { pages } from './pages.ts';
import '@mantine/spotlight/styles.layer.css';

const [store, palette] = createSpotlight();

const found = 8;

export function Palette({ opened, onClose }: { readonly opened: boolean; readonly onClose: () => void }) {
  const [text, setText] = useState('');
  const [wanted] = useDebouncedValue(text.trim(), 200);
  const navigate = useNavigate();
  const { queries } = useServices();
  const devices = useQuery({
    ...queries.devices({ search: wanted.slice(0, 64), limit: found }),
    enabled: opened && wanted !== '',
    refetchInterval: false,
  });

  useEffect(() => {
    if (opened) palette.open();
  }, [opened]);

  const matching = pages.filter(({ label }) => label.toLowerCase().includes(text.trim().toLowerCase()));
  const shown = wanted === '' ? [] : (devices.data?.items ?? []);
  const modal: SpotlightRootProps = { store, query: text, onQueryChange: setText, onSpotlightClose: onClose };

  return (
    <Spotlight.Root
      {...modal}
      shortcut={null}
      scrollable
      maxHeight={420}
      attributes={{ content: { 'aria-label': 'Search devices and pages' } }}
    >
      <Spotlight.Search
        placeholder="Device name, host name or page"
        aria-label="Search devices and pages"
        leftSection={<IconSearch size={18} aria-hidden />}
      />
      <Spotlight.ActionsList>
        {matching.length > 0 && (
          <Spotlight.ActionsGroup label="Pages">
            {matching.map(({ to, label, icon: PageIcon }) => (
              <Spotlight.Action
                key={to}
                label={label}
                leftSection={<PageIcon size={18} aria-hidden />}
                onClick={() => void navigate({ to })}
              />
            ))}
          </Spotlight.ActionsGroup>
        )}
        {shown.length > 0 && (
          <Spotlight.ActionsGroup label="Devices">
            {shown.map((device) => {
              const TierIcon = tierIcons[device.trust_tier];
              return (
                <Spotlight.Action
                  key={device.device_id}
                  label={device.device_id}
                  description={[tierWords[device.trust_tier].label, device.hostname, device.platform]
                    .filter((word) => word !== null)
                    .join(' · ')}
                  leftSection={<TierIcon size={18} aria-hidden />}
                  onClick={() =>
                    void navigate({ to: '/devices/$deviceId', params: { deviceId: device.device_id }, search: {} })
                  }
                />
              );
            })}
          </Spotlight.ActionsGroup>
        )}
        {matching.length === 0 && shown.length === 0 && (
          <Spotlight.Empty>
            {devices.isFetching ? 'Searching…' : 'No page and no device has this in its name.'}
          </Spotlight.Empty>
        )}
      </Spotlight.ActionsList>
    </Spotlight.Root>
  );
}

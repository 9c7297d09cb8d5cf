// The frame around every page of a signed-in person: navigation, search, who is signed in, and whether we are connected.
import type { Me } from '#contracts/http/admin.ts';
import { AppShell, Burger, Group, Kbd, Menu, UnstyledButton, useMantineColorScheme } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import {
  IconBook2,
  IconChevronDown,
  IconDeviceDesktop,
  IconHelp,
  IconKey,
  IconLogout,
  IconMoon,
  IconSearch,
  IconSun,
} from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useLocation, useRouter } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode } from 'react';
import { useServices } from '../data/services.tsx';
import { missingPermission } from '../words/permission.ts';
import { Brand } from './brand.tsx';
import { ConnectionBanner } from './connection-banner.tsx';
import classes from './console-frame.module.css';
import { LiveStatus } from './live-status.tsx';
import { pages } from './pages.ts';

const Palette = lazy(() => import('./palette.tsx').then(({ Palette: component }) => ({ default: component })));

export function ConsoleFrame({ me, children }: { readonly me: Me; readonly children: ReactNode }) {
  const [menuOpen, { toggle, close }] = useDisclosure(false);
  const [searching, setSearching] = useState<'never' | 'open' | 'closed'>('never');
  const search = () => setSearching('open');
  useHotkeys([
    ['mod+K', search],
    ['/', search],
  ]);
  const main = useFocusOnNavigation(close);

  return (
    <>
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <AppShell
        layout="alt"
        header={{ height: 56 }}
        navbar={{ width: 224, breakpoint: 'sm', collapsed: { mobile: !menuOpen } }}
        padding={{ base: 'md', sm: 'lg' }}
        transitionDuration={150}
      >
        <AppShell.Header className={classes['header'] ?? ''} data-print="hide">
          <Group gap="sm" wrap="nowrap" className={classes['phoneOnly'] ?? ''}>
            <Burger opened={menuOpen} onClick={toggle} size="sm" aria-label="Navigation" aria-expanded={menuOpen} />
            <Brand />
          </Group>
          <UnstyledButton className={classes['search'] ?? ''} onClick={search}>
            <IconSearch size={16} aria-hidden />
            <span className={classes['wideText']}>Search devices and pages</span>
            <Kbd size="xs" className={classes['wideOnly'] ?? ''} aria-hidden>
              Ctrl K
            </Kbd>
          </UnstyledButton>
          <Group gap="md" wrap="nowrap">
            <span className={classes['wideOnly']}>
              <LiveStatus />
            </span>
            <PersonMenu me={me} />
          </Group>
        </AppShell.Header>

        <AppShell.Navbar className={classes['navbar'] ?? ''} data-print="hide" aria-label="Main">
          <div className={classes['top']}>
            <Brand />
            <Burger
              opened
              onClick={toggle}
              size="sm"
              aria-label="Close the navigation"
              className={classes['phoneOnly'] ?? ''}
            />
          </div>
          <ul className={classes['links']}>
            {pages
              .filter(({ inSidebar }) => inSidebar)
              .map(({ to, label, icon: LinkIcon }) => (
                <li key={to}>
                  <Link
                    to={to}
                    className={classes['link']}
                    activeProps={{ 'data-active': true }}
                    activeOptions={{ exact: to === '/', includeSearch: false }}
                  >
                    <LinkIcon size={18} stroke={1.75} aria-hidden />
                    {label}
                    {to === '/approvals' && <WaitingCount me={me} />}
                  </Link>
                </li>
              ))}
          </ul>
          <div className={classes['bottom']}>
            <a className={classes['link']} href="/docs/" target="_blank" rel="noopener">
              <IconHelp size={18} stroke={1.75} aria-hidden />
              Documentation
            </a>
            <a className={classes['link']} href="/api/docs" target="_blank" rel="noopener">
              <IconBook2 size={18} stroke={1.75} aria-hidden />
              API reference
            </a>
            <p>
              Project <strong>{me.project}</strong>
            </p>
          </div>
        </AppShell.Navbar>

        <AppShell.Main className={classes['main'] ?? ''}>
          <div id="main" ref={main} tabIndex={-1} className={classes['content']}>
            <ConnectionBanner />
            {children}
          </div>
        </AppShell.Main>
      </AppShell>
      {searching !== 'never' && (
        <Suspense>
          <Palette opened={searching === 'open'} onClose={() => setSearching('closed')} />
        </Suspense>
      )}
    </>
  );
}

/** Tells keyboards and screen readers that another page is there; a change of filters is not one. */
function useFocusOnNavigation(onNavigate: () => void) {
  const main = useRef<HTMLDivElement>(null);
  const pathname = useLocation({ select: (location) => location.pathname });
  const before = useRef(pathname);
  useEffect(() => {
    if (before.current === pathname) return;
    before.current = pathname;
    onNavigate();
    main.current?.focus({ preventScroll: true });
  }, [pathname, onNavigate]);
  return main;
}

function WaitingCount({ me }: { readonly me: Me }) {
  const { queries } = useServices();
  const mayRead = missingPermission(me, 'approval.read') === null;
  const { data } = useQuery({ ...queries.waiting(), enabled: mayRead });
  if (data === undefined || data.items.length === 0) return null;
  const count = `${data.items.length}${data.next_cursor === null ? '' : '+'}`;
  return (
    <span className={classes['badge']}>
      {count}
      <span className={classes['unseen']}> waiting</span>
    </span>
  );
}

function PersonMenu({ me }: { readonly me: Me }) {
  const { client, queries } = useServices();
  const cache = useQueryClient();
  const router = useRouter();
  const logout = useMutation({
    mutationFn: () => client.admin.logout(),
    // Also when the session had ended by itself: what was shown must go.
    onSettled: async () => {
      await router.navigate({ to: '/' });
      cache.setQueryData(queries.me().queryKey, null);
      cache.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'me' });
    },
  });
  return (
    <Menu position="bottom-end" width={220} shadow="md" withInitialFocusPlaceholder={false}>
      <Menu.Target>
        <UnstyledButton className={classes['person'] ?? ''}>
          <span className={classes['initial']} aria-hidden>
            {me.username.charAt(0).toUpperCase()}
          </span>
          <span className={classes['unseen']}>Account of </span>
          <span className={classes['wideText']}>{me.username}</span>
          <IconChevronDown size={14} aria-hidden />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {me.username}: {me.roles.length === 0 ? 'no role' : me.roles.join(', ')}
        </Menu.Label>
        <Menu.Divider />
        <Menu.Item component={Link} to="/sessions" leftSection={<IconKey size={16} aria-hidden />}>
          Sessions
        </Menu.Item>
        <Menu.Divider />
        <Menu.Label>Colours</Menu.Label>
        <ThemeChoice />
        <Menu.Divider />
        <Menu.Item
          leftSection={<IconLogout size={16} aria-hidden />}
          disabled={logout.isPending}
          onClick={() => logout.mutate()}
        >
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

const schemes = [
  { value: 'light', label: 'Light', icon: IconSun },
  { value: 'dark', label: 'Dark', icon: IconMoon },
  { value: 'auto', label: 'As the system', icon: IconDeviceDesktop },
] as const;

function ThemeChoice() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Menu.RadioGroup
      value={colorScheme}
      onChange={(value) => setColorScheme(schemes.find((scheme) => scheme.value === value)?.value ?? 'auto')}
    >
      {schemes.map(({ value, label, icon: SchemeIcon }) => (
        <Menu.RadioItem key={value} value={value} rightSection={<SchemeIcon size={16} aria-hidden />}>
          {label}
        </Menu.RadioItem>
      ))}
    </Menu.RadioGroup>
  );
}

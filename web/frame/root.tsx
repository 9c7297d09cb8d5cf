// Chooses between the frame for people who are signed in and the bare page for visitors, and ends what a session showed.
import { useQueryClient } from '@tanstack/react-query';
import { Outlet, useLocation, useMatches, useRouter } from '@tanstack/react-router';
import { useEffect } from 'react';
import { useVisitor } from '../data/services.tsx';
import { ConsoleFrame } from './console-frame.tsx';

export function Root() {
  const me = useVisitor();
  const isLogin = useLocation({ select: ({ pathname }) => pathname === '/login' });
  const isPrivate = useMatches({ select: (matches) => matches.some(({ routeId }) => routeId === '/signed-in') });
  const hasEnded = me === null && isPrivate;
  const router = useRouter();
  const cache = useQueryClient();

  useEffect(() => {
    if (!hasEnded) return;
    cache.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'me' });
    void router.navigate({ to: '/login', search: { next: router.latestLocation.href, ended: true }, replace: true });
  }, [hasEnded, cache, router]);

  if (hasEnded) return null;
  if (me === null || isLogin) return <Outlet />;
  return (
    <ConsoleFrame me={me}>
      <Outlet />
    </ConsoleFrame>
  );
}

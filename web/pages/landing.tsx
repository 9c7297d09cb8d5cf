// The site root: what this is for visitors, and where things stand for people who have signed in.
import { createLazyRoute } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { useVisitor } from '../data/services.tsx';
import { Opening } from '../frame/states.tsx';

const Welcome = lazy(() => import('./welcome.tsx').then((file) => ({ default: file.Welcome })));
const Overview = lazy(() => import('./overview.tsx').then((file) => ({ default: file.Overview })));

function Landing() {
  const me = useVisitor();
  return <Suspense fallback={<Opening />}>{me === null ? <Welcome /> : <Overview />}</Suspense>;
}

export const landingRoute = createLazyRoute('/')({ component: Landing });

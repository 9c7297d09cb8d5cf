// Makes room for messages once there is one.
import { lazy, Suspense, useSyncExternalStore } from 'react';
import { spoken } from '../parts/say.ts';

const Toasts = lazy(() => import('./toasts.tsx').then((file) => ({ default: file.Toasts })));

export function ToastCorner() {
  const hasSpoken = useSyncExternalStore(spoken.subscribe, spoken.value);
  return <Suspense>{hasSpoken && <Toasts />}</Suspense>;
}

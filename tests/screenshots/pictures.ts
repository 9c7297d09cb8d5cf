// Which pictures of the console there are: one of each page of its router, in each look.
import { readFile } from 'node:fs/promises';
import { deviceTabs } from '#web/search.ts';
import type { Look } from '#tests/harness/browser.ts';

export const pictureFolder = new URL('../../docs/console/', import.meta.url);

/** By what comes behind the name of the page. */
export const looks: Readonly<Record<string, Look>> = {
  '': { scheme: 'light', width: 1280, height: 800 },
  '-dark': { scheme: 'dark', width: 1280, height: 800 },
  '-phone': { scheme: 'light', width: 390, height: 844 },
  '-phone-dark': { scheme: 'dark', width: 390, height: 844 },
};

export interface ConsolePage {
  readonly name: string;
  /** As the router has it, with its parameters: `/devices/$deviceId`. */
  readonly path: string;
  readonly as: 'visitor' | 'admin';
}

const devicePath = '/devices/$deviceId';
const [, ...otherTabs] = deviceTabs;
const tabs = otherTabs.map(
  (tab) => ({ name: `device-${tab}`, path: `${devicePath}?tab=${tab}`, as: 'admin' }) as const,
);

/** A page that is added to the router is here by being there. */
export async function consolePages(): Promise<readonly ConsolePage[]> {
  const router = await readFile(new URL('../../web/router.tsx', import.meta.url), 'utf8');
  const paths = [...router.matchAll(/\bpath: '([^']+)'/g)].map(([, path = '']) => path);
  return [
    { name: 'welcome', path: '/', as: 'visitor' },
    ...paths.flatMap((path) => [
      { name: nameOf(path), path, as: path === '/login' ? 'visitor' : 'admin' } as const,
      ...(path === devicePath ? tabs : []),
    ]),
  ];
}

/** `/approvals` → `approvals`, and one of them, `/approvals/$id`, → `approval`. */
function nameOf(path: string): string {
  if (path === '/') return 'overview';
  if (path === '/dashboard') return 'fleet';
  const [first = '', ...more] = path.split('/').filter((part) => part !== '');
  return more.some((part) => part.startsWith('$')) ? first.replace(/s$/, '') : first;
}

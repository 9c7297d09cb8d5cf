// A real browser for tests of the console, and what no page of it may do: break the policy, throw, or complain.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import type { Cleanup } from './cleanup.ts';
import { programPath } from './requires.ts';

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface Look {
  readonly scheme: 'light' | 'dark';
  readonly width: number;
  readonly height: number;
}

export interface Tab {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Everything that went wrong in the page so far: violations of the policy, exceptions, errors of the console. */
  readonly faults: string[];
}

export interface Browser {
  open(t: Cleanup, look: Look): Promise<Tab>;
}

/** Starts Chromium with a profile of its own. */
export async function startBrowser(t: Cleanup): Promise<Browser> {
  const home = await mkdtemp(join(tmpdir(), 'sentinel-browser-'));
  t.after(() => rm(home, { recursive: true, force: true, maxRetries: 5 }));
  const browser = await chromium.launch({
    executablePath: programPath('chromium'),
    args: flags,
    env: { HOME: home, PATH: '/usr/bin:/bin', XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home },
  });
  t.after(() => browser.close());
  return {
    async open(test, { scheme, width, height }) {
      const context = await browser.newContext({
        viewport: { width, height },
        colorScheme: scheme,
        // Nothing is judged half faded in.
        reducedMotion: 'reduce',
        // The development authority is not known to it.
        ignoreHTTPSErrors: true,
        locale: 'en-US',
        timezoneId: 'Europe/Berlin',
      });
      test.after(() => context.close());
      context.setDefaultTimeout(10_000);
      const page = await context.newPage();
      const faults: string[] = [];
      page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
      page.on('console', (message) => {
        // What the network refused is what tests ask for; everything else that is said so loudly is a fault.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
          faults.push(message.text());
        }
      });
      return { page, context, faults };
    },
  };
}

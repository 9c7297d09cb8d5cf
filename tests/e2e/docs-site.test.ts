// The documentation site, built by its command and served by the API: every link leads somewhere, and it is good to read for everybody.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { problems } from '#contracts/problems.ts';
import { settings } from '#contracts/settings.ts';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import { startBrowser, type Browser, type Look } from '#tests/harness/browser.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { judgePage } from '#tests/harness/judge-page.ts';
import { repository } from '#tests/harness/npm-start.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { requires } from '#tests/harness/requires.ts';
import { placePages, sections } from '#tools/docs-site/pages.ts';

const looks: Record<string, Look> = {
  'a wide light screen': { scheme: 'light', width: 1280, height: 800 },
  'a wide dark screen': { scheme: 'dark', width: 1280, height: 800 },
  'a light phone': { scheme: 'light', width: 390, height: 844 },
  'a dark phone': { scheme: 'dark', width: 390, height: 844 },
};

describe('the documentation site', { skip: requires('chromium') }, () => {
  const cleanup = cleanupAfterAll();
  let url = '';
  let browser: Browser;

  before(
    async () => {
      const run = promisify(execFile);
      for (const { text } of blocksTypedBy(import.meta.filename))
        await run('bash', ['--norc', '-euc', text], { cwd: repository, timeout: 280_000 });
      const directory = join(repository, 'docs', 'site', 'dist');
      const { app } = await fakeApi(cleanup, { change: (deps) => ({ ...deps, docsSite: { directory } }) });
      await app.listen({ host: '127.0.0.1', port: 0 });
      url = `http://localhost:${(app.server.address() as AddressInfo).port}`;
      browser = await startBrowser(cleanup);
    },
    { timeout: 300_000 },
  );

  interface Read {
    readonly status: number;
    readonly text: string;
    readonly ids: ReadonlySet<string>;
    readonly links: readonly string[];
  }

  async function read(path: string): Promise<Read> {
    const answer = await fetch(`${url}${path}`, { headers: { accept: 'text/html' } });
    const text = await answer.text();
    const attributes = (name: string) =>
      [...text.matchAll(new RegExp(`\\s${name}="([^"]*)"`, 'g'))].map(([, value = '']) =>
        value.replaceAll('&#38;', '&'),
      );
    return {
      status: answer.status,
      text,
      ids: new Set(attributes('id')),
      links: [...attributes('href'), ...attributes('src')],
    };
  }

  it('gathers every page in one library, each at its place, with links that all lead somewhere (DC-02, DC-03)', async () => {
    const found = new Map<string, Read>();
    const broken: string[] = [];
    const waiting = [['/docs/', '']];
    const wanted: (readonly [string, string, string])[] = [];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [path = '', from = ''] = next;
      if (found.has(path)) continue;
      const page = await read(path);
      found.set(path, page);
      if (page.status !== 200) broken.push(`${from} → ${path}: ${page.status}`);
      if (!path.endsWith('/')) continue;
      for (const link of page.links) {
        const target = new URL(link, `${url}${path}`);
        if (target.origin !== url || !target.pathname.startsWith('/docs/')) continue;
        waiting.push([target.pathname, path]);
        if (target.hash !== '') wanted.push([path, target.pathname, decodeURIComponent(target.hash.slice(1))]);
      }
    }
    for (const [from, path, anchor] of wanted)
      if (!found.get(path)?.ids.has(anchor)) broken.push(`${from} → ${path}#${anchor}`);
    assert.deepEqual([...new Set(broken)], []);

    const placed = placePages(repository).flatMap(({ pages }) => pages);
    for (const { slug, file } of placed)
      assert.ok(found.has(`/docs/${slug === '' ? '' : `${slug}/`}`), `${file} is reached from the first page`);
    for (const name of ['installation_guide', 'user_manual', 'agent', 'architecture'])
      assert.ok(found.has(`/docs/${name}/`), name);
    const sidebar = found.get('/docs/')?.text ?? '';
    for (const { label } of sections.filter((section) =>
      placePages(repository).some((one) => one.label === section.label),
    ))
      assert.match(sidebar, new RegExp(`>\\s*${label}\\s*<`));
  });

  it('has a place for every problem code and every setting, which refusals lead to', async () => {
    const problemPage = await read('/docs/problems/');
    for (const code of Object.keys(problems)) assert.ok(problemPage.ids.has(code), code);
    const settingPage = await read('/docs/settings/');
    for (const name of Object.keys(settings)) assert.ok(settingPage.ids.has(name), name);
    const refused = await fetch(`${url}/api/devices`);
    assert.equal(refused.headers.get('link'), '</docs/problems/#auth.required>; rel="help"');
  });

  it('draws its diagrams into the page, in words too', async () => {
    const diagrams = [
      ['architecture', /<svg [^>]*role="img" aria-label="The parts of Sentinel\. Devices send/],
      ['attestation', /<svg [^>]*role="img" aria-label="The chain of trust of a TPM quote\. The nonce of Sentinel/],
    ] as const;
    for (const [name, drawn] of diagrams) {
      const { text } = await read(`/docs/${name}/`);
      assert.match(text, drawn);
      assert.doesNotMatch(text, /mermaid|fonts\.googleapis/);
    }
  });

  it('asks nobody else for anything, and has no inline style', async () => {
    for (const { slug } of placePages(repository).flatMap(({ pages }) => pages)) {
      const { text } = await read(`/docs/${slug === '' ? '' : `${slug}/`}`);
      assert.doesNotMatch(text, /<[^>]* style=|<style[\s>]/, slug);
      assert.doesNotMatch(text, /<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?\/\//, slug);
    }
  });

  it('finds what somebody looks for', async (t) => {
    const { page, faults } = await browser.open(t, { scheme: 'light', width: 1280, height: 800 });
    await page.goto(`${url}/docs/`);
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('textbox', { name: 'Search' }).fill('revoke certificate');
    await page.locator('.pagefind-ui__result-link').first().waitFor();
    assert.deepEqual(faults, []);
  });

  it('has a page for what is not there', async (t) => {
    const { page, faults } = await browser.open(t, { scheme: 'light', width: 1280, height: 800 });
    const answer = await page.goto(`${url}/docs/no-such-page/`);
    assert.equal(answer?.status(), 404);
    await page.getByRole('heading', { level: 1 }).waitFor();
    assert.deepEqual(faults, []);
  });

  for (const [name, look] of Object.entries(looks)) {
    it(`is good to read on ${name}`, { timeout: 120_000 }, async (t) => {
      const { page, faults } = await browser.open(t, look);
      for (const path of ['', 'installation_guide/', 'architecture/', 'attestation/', 'problems/', 'audit/']) {
        await page.goto(`${url}/docs/${path}`);
        await page.getByRole('heading', { level: 1 }).first().waitFor();
        await judgePage(page, path);
      }
      assert.deepEqual(faults, []);
    });
  }
});

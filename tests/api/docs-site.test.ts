// The documentation site as the API serves it: to everybody, with a policy for each page, and always the newest build.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';

const html = { accept: 'text/html,*/*;q=0.8' };
const script = 'document.documentElement.dataset.theme = "dark"';
const digestOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

async function writeSite(directory: string, words: string): Promise<void> {
  await mkdir(join(directory, 'settings'), { recursive: true });
  await mkdir(join(directory, '_astro'));
  const page = (text: string) => `<!doctype html><script>${script}</script><script src="/docs/a.js">x</script>${text}`;
  await writeFile(join(directory, 'index.html'), page(words));
  await writeFile(join(directory, 'settings', 'index.html'), '<!doctype html>settings');
  await writeFile(join(directory, '404.html'), page('no such page'));
  await writeFile(join(directory, '_astro', 'site.abc.css'), `a{}${' '.repeat(2000)}`);
}

async function withSite(t: TestContext) {
  const above = await mkdtemp(join(tmpdir(), 'sentinel-docs-'));
  t.after(() => rm(above, { recursive: true }));
  const directory = join(above, 'dist');
  await writeFile(join(above, 'secret.txt'), 'secret');
  const { app } = await fakeApi(t, { change: (deps) => ({ ...deps, docsSite: { directory } }) });
  return { app, directory, above };
}

describe('the documentation site', () => {
  it('says how to build it, and is there as soon as it is built (DC-02)', async (t) => {
    const { app, directory } = await withSite(t);
    const before = await app.inject({ url: '/docs/', headers: html });
    assert.equal(before.statusCode, 503);
    assert.match(before.body, /npm run build-docs-site/);
    await writeSite(directory, 'first');
    assert.match((await app.inject({ url: '/docs/', headers: html })).body, /first/);
  });

  it('serves another build when one took its place, and the old one until then', async (t) => {
    const { app, directory, above } = await withSite(t);
    await writeSite(directory, 'first');
    assert.match((await app.inject({ url: '/docs/' })).body, /first/);
    await rename(directory, join(above, 'before'));
    assert.match((await app.inject({ url: '/docs/' })).body, /first/);
    await writeSite(join(above, 'next'), 'second');
    await rename(join(above, 'next'), directory);
    const answers = await Promise.all(Array.from({ length: 5 }, () => app.inject({ url: '/docs/' })));
    for (const { body } of answers) assert.match(body, /second/);
  });

  it('lets run in a page what was built into it, and nothing else (SS-07)', async (t) => {
    const { app, directory } = await withSite(t);
    await writeSite(directory, 'first');
    const policy = String((await app.inject({ url: '/docs/' })).headers['content-security-policy']);
    assert.match(policy, /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-[^ ]+'; style-src 'self';/);
    assert.ok(policy.includes(digestOf(script)));
    assert.doesNotMatch(policy, /unsafe-inline|'unsafe-eval'|https?:/);
    const other = String((await app.inject({ url: '/docs/settings/' })).headers['content-security-policy']);
    assert.doesNotMatch(other, /sha256/);
  });

  it('sends each file with its type, compressed, and once', async (t) => {
    const { app, directory } = await withSite(t);
    await writeSite(directory, 'first');
    const style = await app.inject({ url: '/docs/_astro/site.abc.css', headers: { 'accept-encoding': 'gzip' } });
    assert.equal(style.headers['content-type'], 'text/css; charset=utf-8');
    assert.equal(style.headers['content-encoding'], 'gzip');
    assert.equal(style.headers['cache-control'], 'public, max-age=31536000, immutable');
    const page = await app.inject({ url: '/docs/settings/?x=1' });
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(page.headers['cache-control'], 'no-cache');
    const again = await app.inject({ url: '/docs/settings/', headers: { 'if-none-match': String(page.headers.etag) } });
    assert.deepEqual([again.statusCode, again.body], [304, '']);
  });

  it('leads to the address of a page, and has a page for what is not there', async (t) => {
    const { app, directory } = await withSite(t);
    await writeSite(directory, 'first');
    for (const [url, to] of [
      ['/docs', '/docs/'],
      ['/docs/settings', '/docs/settings/'],
    ] as const) {
      const answer = await app.inject({ url });
      assert.deepEqual([answer.statusCode, answer.headers.location], [308, to]);
    }
    const page = await app.inject({ url: '/docs/nothing/', headers: html });
    assert.equal(page.statusCode, 404);
    assert.match(page.body, /no such page/);
    assert.equal(problemOf(await app.inject({ url: '/docs/nothing.js' })).code, 'resource.not_found');
  });

  it('gives out no file but its own', async (t) => {
    const { app, directory } = await withSite(t);
    await writeSite(directory, 'first');
    for (const path of [
      '../secret.txt',
      '..%2fsecret.txt',
      '%2e%2e/secret.txt',
      '..\\secret.txt',
      '/secret.txt',
      'a%00',
    ]) {
      const answer = await app.inject({ url: `/docs/${path}` });
      assert.ok([400, 404].includes(answer.statusCode), `${path}: ${answer.statusCode}`);
      assert.doesNotMatch(answer.body, /^secret$/);
    }
  });
});

// The generated pages are up to date, and the example environment is complete and safe to have in the repository.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { parseEnv } from 'node:util';
import { settings } from '#contracts/settings.ts';
import { pages } from '#tools/docs.ts';

const read = (path: string): Promise<string> => readFile(new URL(`../../../${path}`, import.meta.url), 'utf8');

describe('generated pages', () => {
  for (const { path, text } of Object.values(pages)) {
    it(`${path} is what tools/docs.ts makes (npm run docs)`, async () => {
      assert.equal(await read(path), text);
    });
  }
});

describe('.env.example', () => {
  it('names every setting once, as a value to fill in or as a comment (DP-27)', async () => {
    const names = [...(await read('.env.example')).matchAll(/^#?(SENTINEL_[A-Z_]+)=/gm)].map((match) => match[1] ?? '');
    assert.deepEqual(names.toSorted(), Object.keys(settings).toSorted());
  });

  it('holds no secret, only placeholders (DP-27)', async () => {
    const values = parseEnv(await read('.env.example'));
    const secrets = Object.entries(settings).filter(([, setting]) => 'secret' in setting);
    for (const [name] of secrets) assert.match(values[name] ?? 'change-me', /change-me/, name);
  });
});

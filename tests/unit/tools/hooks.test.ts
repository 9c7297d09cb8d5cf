// Unit tests share one process, so a hook outside a subject would be one of every file.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../', import.meta.url));

it('no unit test runs something around each test of the others', () => {
  const files = globSync('**/*.test.ts', { cwd: folder });
  assert.ok(files.length > 0);
  const outside = files.filter((file) => /^(beforeEach|afterEach)\(/m.test(readFileSync(`${folder}/${file}`, 'utf8')));
  assert.deepEqual(outside, []);
});

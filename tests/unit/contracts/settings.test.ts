// What a process asks of its settings.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSettings, requireSetting } from '#contracts/settings.ts';

describe('a setting without a default', () => {
  it('is what the environment says, or an error that names it', () => {
    const name = 'SENTINEL_DATABASE_URL';
    assert.equal(requireSetting(readSettings({ [name]: 'postgres://db' }), name), 'postgres://db');
    for (const absent of [undefined, '', ' '])
      assert.throws(() => requireSetting(readSettings({ [name]: absent }), name), {
        code: 'request.invalid',
        message: /^SENTINEL_DATABASE_URL: is not set/,
      });
  });
});

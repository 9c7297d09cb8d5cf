// What an id looks like.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isUuid } from '#contracts/ids.ts';

describe('an id of the database', () => {
  const id = '0b7f2f6e-5d0a-4c7b-9d0e-1f6a3c2b4d5e';

  it('is one in the form that the database writes it in', () => assert.equal(isUuid(id), true));

  for (const none of [
    '',
    'no-uuid',
    id.toUpperCase(),
    `{${id}}`,
    `${id} `,
    `${id}\n`,
    `${id}0`,
    id.replaceAll('-', ''),
  ])
    it(`is none in the form ${JSON.stringify(none)}`, () => assert.equal(isUuid(none), false));
});

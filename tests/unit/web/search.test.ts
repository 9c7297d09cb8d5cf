import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ownPath,
  parseApprovalsSearch,
  parseAuditSearch,
  parseDeviceSearch,
  parseFleetSearch,
  parseSearch,
  refined,
  stringifySearch,
} from '#web/search.ts';

describe('search parameters of the console', () => {
  it('keeps what fits the schema of the API and drops the rest', () => {
    const raw = parseSearch(
      '?trust_tier=trusted&liveness=sleeping&limit=501&pending_review=true&tag=a&search=&evil=1&approval_state=pending',
    );
    assert.deepEqual(parseFleetSearch(raw), {
      approval_state: 'pending',
      trust_tier: 'trusted',
      tag: 'a',
      pending_review: true,
    });
  });

  it('reads text that looks like something else as what the schema says', () => {
    assert.deepEqual(parseFleetSearch(parseSearch('?search=123&limit=25')), { limit: 25, search: '123' });
    assert.deepEqual(parseFleetSearch(parseSearch('?limit=2.5&pending_review=1')), {});
    assert.deepEqual(parseFleetSearch({ search: { toString: () => 'x' }, tag: ['a'] }), {});
    assert.deepEqual(parseFleetSearch({ search: 'x'.repeat(65) }), {});
  });

  it('takes instants that are one', () => {
    assert.deepEqual(parseAuditSearch({ since: 'yesterday', until: '2026-11-23T09:00:00.000Z' }), {
      until: '2026-11-23T09:00:00.000Z',
    });
  });

  it('shows what waits unless another state is asked for', () => {
    assert.deepEqual(parseApprovalsSearch({ state: 'open' }), {});
    assert.deepEqual(parseApprovalsSearch({ state: 'all', kind: 'rotation' }), { kind: 'rotation', state: 'all' });
    assert.deepEqual(parseApprovalsSearch({ state: 'rejected' }), { state: 'rejected' });
    assert.deepEqual(parseDeviceSearch({ tab: 'nonsense' }), {});
  });

  it('writes parameters so that they can be read and typed', () => {
    const search = { search: '"quoted" & more', limit: 50, pending_review: true, cursor: undefined };
    const text = stringifySearch(search);
    assert.equal(text, '?search=%22quoted%22+%26+more&limit=50&pending_review=true');
    assert.deepEqual(parseFleetSearch(parseSearch(text)), {
      search: '"quoted" & more',
      limit: 50,
      pending_review: true,
    });
    assert.equal(stringifySearch({}), '');
  });

  it('forgets the cursor when a filter changes', () => {
    assert.deepEqual(refined({ cursor: 'x', tag: 'a', search: 'b' }, { tag: undefined }), { search: 'b' });
  });
});

describe('where sign-in leads', () => {
  it('is a page of this console', () => {
    assert.equal(ownPath('/devices/a%20b?tab=audit#x'), '/devices/a%20b?tab=audit#x');
  });

  for (const trap of [
    '//evil.example',
    '/\\evil.example',
    '/\t/evil.example',
    'https://evil.example/',
    'javascript:alert(1)',
    'dashboard',
    '',
    '/login?next=%2Flogin',
    undefined,
    7,
  ]) {
    it(`is never ${JSON.stringify(trap)}`, () => assert.equal(ownPath(trap), null));
  }
});

describe('the address of a device', () => {
  for (const [raw, parsed] of [
    [
      { tab: 'timeline', kind: 'heartbeat' },
      { tab: 'timeline', kind: 'heartbeat' },
    ],
    [{ tab: 'timeline', kind: 'nonsense' }, { tab: 'timeline' }],
    [{ tab: 'json', kind: 'audit' }, { tab: 'json' }],
    [{ tab: 'overview' }, {}],
    [{ tab: 'history' }, { tab: 'timeline', kind: 'transition' }],
    [{ tab: 'audit' }, { tab: 'timeline', kind: 'audit' }],
  ] as const) {
    it(`reads ${JSON.stringify(raw)}, also where it is of an earlier console`, () => {
      assert.deepEqual(parseDeviceSearch(raw), parsed);
    });
  }
});

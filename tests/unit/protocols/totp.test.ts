import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { verifyTotp } from '#protocols/totp.ts';

/** The secret of the test vectors of RFC 6238, Appendix B: the ASCII string 12345678901234567890. */
const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';

describe('one-time codes', () => {
  for (const [seconds, code] of [
    [59, '287082'],
    [1_111_111_109, '081804'],
    [1_111_111_111, '050471'],
    [1_234_567_890, '005924'],
    [2_000_000_000, '279037'],
    [20_000_000_000, '353130'],
  ] as const) {
    it(`RFC 6238 Appendix B: ${code} is the code at ${seconds} seconds, in the last six digits`, () => {
      assert.equal(verifyTotp(secret, code, new Date(seconds * 1000)), Math.floor(seconds / 30));
    });
  }

  it('take the step before and after, and tell which one it was', () => {
    const at = (seconds: number) => verifyTotp(secret, '050471', new Date(seconds * 1000));
    const step = Math.floor(1_111_111_111 / 30);
    assert.deepEqual(
      [-31, -30, 0, 29, 30, 59, 60].map((shift) => at(step * 30 + shift)),
      [null, step, step, step, step, step, null],
    );
  });

  for (const [what, key, code] of [
    ['a code of another secret', 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJA', '287082'],
    ['a secret that is too short', 'GEZDGNBV', '287082'],
    ['no secret', '', '287082'],
    ['a secret that is not base32', `${secret}1`, '287082'],
    ['five digits', secret, '28708'],
    ['a code with a space', secret, '287 82'],
    ['other digits', secret, '２８７０８２'],
    ['nothing', secret, ''],
  ] as const) {
    it(`do not take ${what}`, () => assert.equal(verifyTotp(key, code, new Date(59_000)), null));
  }
});

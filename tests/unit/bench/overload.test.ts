// What the overload bench reads of the API's answers.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readAnswer } from '#bench/overload/answer.ts';

describe('an answer to a heartbeat', () => {
  const shed =
    'HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\ncontent-length: 2\r\nretry-after: 17\r\n\r\n{}';

  it('is read when all of it is there', () => {
    assert.deepEqual(readAnswer(shed), { status: 429, retryAfterSeconds: 17 });
    for (let length = 0; length < shed.length; length += 1) assert.equal(readAnswer(shed.slice(0, length)), null);
  });

  it('may name no time to come back, and has to name its length', () => {
    const accepted = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n{ }';
    assert.deepEqual(readAnswer(accepted), { status: 200, retryAfterSeconds: null });
    assert.throws(() => readAnswer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'), /length/);
  });
});

// Pictures of the console: every page of the router has its own name, and a palette changes no colour that there is room for.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import { consolePages } from '#tests/screenshots/pictures.ts';
import { decode, withPalette } from '#tests/screenshots/png.ts';

/** As browsers write it. */
function picture(width: number, rows: readonly (readonly number[])[]): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(rows.length, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const chunk = (type: string, body: Buffer) => {
    const named = Buffer.concat([Buffer.from(type), body]);
    const frame = Buffer.alloc(named.length + 8);
    frame.writeUInt32BE(body.length);
    frame.set(named, 4);
    frame.writeUInt32BE(crc32(named), named.length + 4);
    return frame;
  };
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.from(rows.flat()))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

describe('pictures of the console', () => {
  it('are of every page of the router, each under a name of its own', async () => {
    const pages = await consolePages();
    const names = pages.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    assert.deepEqual(
      [
        'welcome',
        'overview',
        'login',
        'fleet',
        'device',
        'approvals',
        'approval',
        'audit',
        'sessions',
        'health',
      ].filter((name) => !names.includes(name)),
      [],
    );
  });

  it('are read whichever way their rows were written, and keep their colours', () => {
    // Two pixels a row: as they are, by their left, by those above, by the mean of both, and by the nearest.
    const written = picture(2, [
      [0, 10, 20, 30, 40, 50, 60],
      [1, 1, 2, 3, 4, 5, 6],
      [2, 1, 1, 1, 1, 1, 1],
      [3, 9, 9, 9, 9, 9, 9],
      [4, 7, 7, 7, 7, 7, 7],
    ]);
    const { width, height, pixels } = decode(written);
    assert.deepEqual([width, height], [2, 5]);
    const hex = [...pixels].map((pixel) => pixel.toString(16).padStart(6, '0'));
    assert.deepEqual(hex.slice(0, 6), ['0a141e', '28323c', '010203', '050709', '020304', '06080a']);
    const again = withPalette(written);
    assert.equal(again.toString('latin1').includes('PLTE'), true);
    assert.deepEqual(withPalette(written), again, 'the same picture gives the same bytes');
  });
});

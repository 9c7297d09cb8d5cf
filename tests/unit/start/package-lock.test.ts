import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type LockFile, missingEntries } from '#tools/complete-lock.ts';

describe('package-lock.json', () => {
  it('has an entry for every optional package of every platform, without which npm ci refuses it', () => {
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as LockFile;
    assert.deepEqual(missingEntries(lock), {}, 'npm run lock:complete adds them');
  });

  it('completes a package of another platform, with its system, processor and C library', () => {
    const lock = {
      packages: { 'node_modules/a': { dev: true, optionalDependencies: { '@a/linux-arm64-musl': '1.2.3' } } },
    };
    assert.deepEqual(missingEntries(lock), {
      'node_modules/@a/linux-arm64-musl': {
        version: '1.2.3',
        cpu: ['arm64'],
        dev: true,
        libc: ['musl'],
        optional: true,
        os: ['linux'],
      },
    });
  });

  it('refuses to invent a package that is not for one platform', () => {
    const lock = { packages: { 'node_modules/a': { optionalDependencies: { bufferutil: '1.0.0' } } } };
    assert.throws(() => missingEntries(lock), RangeError);
  });
});

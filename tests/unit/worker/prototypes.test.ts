// What the processes that run actors and sign checkpoints do with their prototypes, in a process of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const module = join(import.meta.dirname, '../../../worker/prototypes.ts');

/** What a script says after the prototypes are closed. */
function said(script: string): string {
  const text = `const { closePrototypes } = await import(${JSON.stringify(module)}); closePrototypes(); ${script}`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', text], { encoding: 'utf8' }).trim();
}

describe('the prototypes of a worker', () => {
  const everything =
    '[Object, Array, String, Number, Boolean, Function, Error, Map, Set, Promise, Date, RegExp, Uint8Array, Symbol, BigInt]';

  it('take no new property, however it comes (SA-25)', () => {
    const script = `
      let taken = 0;
      for (const { prototype } of ${everything}) {
        for (const add of [
          () => { prototype.polluted = true; },
          () => Object.defineProperty(prototype, 'polluted', { value: true }),
          () => Object.assign(prototype, { polluted: true }),
          () => Object.setPrototypeOf(prototype, { polluted: true }),
        ]) try { add(); taken += prototype === Object.prototype ? 1 : 0; } catch {}
      }
      const merge = (to, from) => { for (const key of Object.keys(from)) to[key] = typeof from[key] === 'object' ? merge(to[key] ?? {}, from[key]) : from[key]; return to; };
      let threw = false;
      try { merge({}, JSON.parse('{"__proto__":{"polluted":true}}')); } catch { threw = true; }
      console.log(({}).polluted, [].polluted, ''.polluted, (() => {}).polluted, threw, taken);`;
    assert.equal(said(script), 'undefined undefined undefined undefined true 0');
  });

  it('leave objects as libraries make them', () => {
    const script = `
      function Old() {}
      Old.prototype.constructor = Old;
      Old.prototype.toString = () => 'old';
      const bare = {}; bare.constructor = Old; bare.toString = () => 'bare'; bare.valueOf = () => 1;
      const fn = () => {}; fn.toString = () => 'fn';
      class List extends Array { map() { return 'map'; } }
      const error = new Error('x'); error.name = 'Named'; error.message = 'y'; error.toString = () => 'error';
      console.log(String(new Old()), String(bare), String(fn), new List().map(), String(error));`;
    assert.equal(said(script), 'old bare fn map error');
  });
});

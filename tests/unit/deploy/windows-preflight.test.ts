// The preflight script of Windows, as far as it can be read without PowerShell: that it only looks, and at the right things.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { configKeys } from '#agent/config.ts';
import { windows } from '#agent/service/windows.ts';

const read = (name: string): string =>
  readFileSync(new URL(`../../../deploy/windows/${name}`, import.meta.url), 'utf8');
const script = read('preflight-agent-config.ps1');
/** Without the help at its top and comments of a line. */
const code = script.replace(/<#[^]*?#>/, '').replaceAll(/^\s*#.*$/gm, '');

describe('deploy/windows/preflight-agent-config.ps1 (DP-21)', () => {
  it('is ASCII, which Windows PowerShell 5.1 reads the same with any code page', () => {
    assert.doesNotMatch(script, /[^\t\n\x20-\x7E]/);
    assert.match(script, /#Requires -Version 5\.1/);
  });

  it('closes what it opens', () => {
    const marks = code.replaceAll(/'(?:[^']|'')*'|"(?:[^"`]|`.|"")*"/g, '');
    const open: string[] = [];
    const pairs: Readonly<Record<string, string>> = { ')': '(', '}': '{', ']': '[' };
    for (const mark of marks.match(/[(){}[\]]/g) ?? []) {
      if (pairs[mark] === undefined) open.push(mark);
      else assert.equal(open.pop(), pairs[mark]);
    }
    assert.deepEqual(open, []);
    assert.doesNotMatch(marks, /['"]/);
  });

  it('stops at its first error, and changes nothing', () => {
    assert.match(code, /Set-StrictMode -Version Latest\s+\$ErrorActionPreference = 'Stop'/);
    const own = [...code.matchAll(/function ([\w-]+)/g)].map(([, name]) => name ?? '');
    const used = new Set(code.match(/\b[A-Z][a-z]+-[A-Z]\w+/g));
    const looking = [
      'Set-StrictMode',
      'Write-Output',
      'Get-Acl',
      'Get-Content',
      'ConvertFrom-Json',
      'Join-Path',
      'Split-Path',
      'Test-Path',
    ];
    assert.deepEqual(
      [...used].filter((name) => !own.includes(name) && !looking.includes(name)),
      [],
    );
    assert.doesNotMatch(code, /Invoke-Expression|\biex\b|Start-Process|[^-]>\s*[$'"\w]/);
  });

  it('looks where the agent is installed, at the account that the task names, and at keys that there are', () => {
    for (const text of [windows.defaults.executable, windows.defaults.config, windows.defaults.user])
      assert.ok(code.includes(`'${text}'`), text);
    const keys = [...code.matchAll(/Get-ConfiguredPath '(\w+)'/g)].map(([, key]) => key ?? '');
    assert.deepEqual(keys, ['private_key_path', 'state_path']);
    for (const key of keys) assert.ok(Object.hasOwn(configKeys, key));
  });

  it('has the executable check the rest, and fails when that does', () => {
    assert.match(
      code,
      /& \$ExecutablePath preflight --config \$ConfigPath\s+if \(\$LASTEXITCODE -ne 0\) \{ \$script:mistakes \+= 1 \}/,
    );
    assert.match(code, /if \(\$script:mistakes -gt 0\) \{[^}]*exit 1\s*\}/);
  });

  it('is what the guide runs before it registers the task as the agent says', () => {
    const guide = read('README.md');
    const steps = [String.raw`.\preflight-agent-config.ps1`, 'service write', ...windows.toStart];
    const places = steps.map((step) => guide.indexOf(step));
    assert.ok(!places.includes(-1), JSON.stringify(places));
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    );
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeInstance } from '#start/instance.ts';
import { createProgress } from '#start/progress.ts';

function screen(isTTY: boolean): {
  text: () => string;
  write: (text: string) => boolean;
  isTTY: boolean;
  columns: number;
} {
  let text = '';
  return { isTTY, columns: 40, text: () => text, write: (more) => ((text += more), true) };
}

describe('progress', () => {
  it('is one plain line a step where nothing can move', async () => {
    const plain = screen(false);
    let time = 0;
    const progress = createProgress(plain, () => time);
    await progress.during('Postgres', async () => void (time += 1_400));
    progress.died('API', 'API ended by SIGKILL.', 250);
    progress.note('Stopping …');
    progress.end();
    assert.equal(
      plain.text(),
      'Postgres … ready in 1.4 s\nAPI ended by SIGKILL. Starting it again in 0.3 s.\nStopping …\n',
    );
  });

  it('clears the moving line of a terminal before it writes another, and at the end', async () => {
    const terminal = screen(true);
    const progress = createProgress(terminal, () => 0);
    progress.starting('Temporal');
    progress.starting('API');
    progress.ready('API', 1_000);
    progress.end();
    const lines = terminal.text().split('\r\u001b[2K');
    assert.ok(lines.some((line) => line.includes('Temporal, API …')));
    assert.match(lines.at(-3) ?? '', /API … ready in 1\.0 s\n$/);
    assert.equal(lines.at(-1), '');
  });

  it('leaves nothing open when a step fails', async () => {
    const plain = screen(false);
    const progress = createProgress(plain, () => 0);
    await assert.rejects(
      progress.during('Console', () => Promise.reject(new RangeError('x'))),
      RangeError,
    );
    progress.end();
    assert.equal(plain.text(), '');
  });
});

describe('the last word of a start', () => {
  const instance = {
    api_url: 'https://localhost:1',
    console_url: 'https://localhost:1/',
    temporal_address: '127.0.0.1:2',
    temporal_namespace: 'default',
    temporal_ui_url: 'https://localhost:1/temporal/',
    database_url: 'postgresql://sentinel:canary@127.0.0.1:3/sentinel',
    ca_file: '/home/ca/ca.crt',
    admin_username: 'admin',
    admin_password_file: '/home/secrets/admin.password',
    pids: {},
  };

  it('says where to look and how to sign in, and shows no password', () => {
    const text = describeInstance(instance, ['approver1', 'approver2'], {
      logs: '/home/logs',
      metrics: ['https://a/api/metrics', 'http://b/metrics'],
      tpm: { deviceId: 'demo-001', change: 'tpm2_pcrextend 7' },
    });
    for (const part of [
      'https://localhost:1/',
      'admin, with the password in /home/secrets/admin.password',
      'approver1, approver2',
      '/home/logs',
      'of demo-001. To change what it booted:\n             tpm2_pcrextend 7',
    ])
      assert.ok(text.includes(part), part);
    assert.doesNotMatch(text, /canary/);
  });

  it('names no password file when the administrators were configured', () => {
    const configured = { ...instance, admin_username: 'ann', admin_password_file: null };
    assert.match(
      describeInstance(configured, [], { logs: '/logs', metrics: [], tpm: null }),
      /Sign in {4}ann, as configured\n {2}Temporal/,
    );
    assert.match(
      describeInstance({ ...configured, admin_username: null }, [], { logs: '/logs', metrics: [], tpm: null }),
      /Sign in {4}as configured\n/,
    );
  });
});

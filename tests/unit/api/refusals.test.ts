import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics } from '#api/metrics.ts';
import { createRefusals, type Refused, type RefusalsDeps } from '#api/refusals.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';

const refusal: Refused = {
  code: 'certificate.untrusted',
  project: 'default',
  deviceId: 'device-1',
  provenFingerprint: null,
  address: '192.0.2.1',
  addressBlock: '192.0.2.1',
  requestId: 'request-1',
};

function openRefusals(more: Partial<RefusalsDeps> = {}) {
  const clock = fakeClock();
  const log = fakeLog();
  const written: AuditEntry[] = [];
  const write = async (_project: string, entry: AuditEntry) => void written.push(entry);
  const refusals = createRefusals({ write, clock, log, metrics: createMetrics('0.0.0'), ...more });
  const rows = () => written.map(({ subject, details }) => [subject.id, details.code, details.count]);
  return { refusals, clock, log, written, rows };
}

describe('refused identities', () => {
  it('are written down at once, with code, source and request (HB-11)', async () => {
    const { refusals, written } = openRefusals();
    await refusals.record({ ...refusal, details: { presented: 'CN=other' } });
    assert.deepEqual(written, [
      {
        occurred_at: '2026-11-22T12:00:00.000Z',
        category: 'identity',
        action: 'heartbeat.refused',
        actor: { kind: 'device', id: 'device-1', ip: '192.0.2.1' },
        subject: { kind: 'device', id: 'device-1' },
        outcome: 'refused',
        details: { code: 'certificate.untrusted', count: 1, fingerprint_sha256: null, presented: 'CN=other' },
        request_id: 'request-1',
      },
    ]);
    await refusals.close();
  });

  it('that repeat are one row a minute with their number', async () => {
    const { refusals, clock, rows } = openRefusals();
    for (let count = 0; count < 1000; count += 1) await refusals.record(refusal);
    assert.deepEqual(rows(), [['device-1', 'certificate.untrusted', 1]]);
    clock.advance(60_000);
    await refusals.record(refusal);
    assert.deepEqual(
      rows()
        .slice(1)
        .map(([, , count]) => count),
      [999, 1],
    );
    await refusals.record(refusal);
    await refusals.close();
    assert.deepEqual(
      rows()
        .slice(3)
        .map(([, , count]) => count),
      [1],
    );
  });

  it('of different kinds, devices, certificates and places are told apart', async () => {
    const { refusals, rows } = openRefusals();
    await refusals.record(refusal);
    await refusals.record({ ...refusal, code: 'certificate.missing' });
    await refusals.record({ ...refusal, deviceId: 'device-2' });
    await refusals.record({ ...refusal, addressBlock: '192.0.2.2' });
    await refusals.record({ ...refusal, provenFingerprint: 'f'.repeat(64) });
    await refusals.record({ ...refusal, project: 'other' });
    assert.equal(rows().length, 6);
    await refusals.close();
  });

  it('with names made up at will do not make as many rows', async () => {
    const { refusals, rows } = openRefusals({ maximumKindsOfSource: 3, maximumKinds: 5 });
    for (let n = 0; n < 100; n += 1) await refusals.record({ ...refusal, deviceId: `made-up-${n}` });
    assert.equal(rows().length, 4);
    for (let n = 0; n < 100; n += 1) await refusals.record({ ...refusal, addressBlock: `192.0.2.${n}` });
    assert.equal(rows().length, 6);
    await refusals.close();
    assert.equal(
      rows()
        .map(([, , count]) => Number(count))
        .reduce((sum, count) => sum + count, 0),
      200,
    );
  });

  it('that cannot be written down are counted and logged, and remain refusals', async () => {
    const metrics = createMetrics('0.0.0');
    const { refusals, log } = openRefusals({ metrics, write: () => Promise.reject(new Error('down')) });
    await refusals.record(refusal);
    assert.equal((await metrics.auditFailures.get()).values[0]?.value, 1);
    assert.match(log.text(), /could not be written down/);
    await refusals.close();
  });
});

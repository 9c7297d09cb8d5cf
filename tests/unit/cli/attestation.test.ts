// sentinel device attestation: what is shown, what is asked, and how it ends.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { replayVerdict } from '#api/attestation-verdicts.ts';
import type { AttestationVerdictList, VerdictReplay } from '#contracts/http/attestation.ts';
import { anAttestationStatus } from '#tests/fakes/api-objects.ts';
import { aVerdict } from '#tests/fakes/stored-verdict.ts';
import { runCommand } from './run.ts';

const at = '2026-01-02T03:00:00.000Z';
const kept = aVerdict('lab-1');
const { evidence: _, circumstances: __, basis: ___, result, ...listed } = kept;
const path = '/api/devices/lab-1/attestation';
const replay: VerdictReplay = { device_id: 'lab-1', at, ...replayVerdict(kept) };
const status = anAttestationStatus();

describe('sentinel device attestation', () => {
  it('shows where a device stands, and what is approved for it', async (t) => {
    const routes = { [`GET ${path}`]: { body: status } };
    const { exit, terminal } = await runCommand(t, 'device attestation show lab-1', { routes });
    assert.equal(exit, 0);
    for (const line of [
      'Attestation\tfailed',
      '  verdict\t9, 12 more only counted',
      '  generation\t2, confirmed 1',
      '  reason\tpcr_mismatch',
      'Bound key\tab',
      'Registers sha256\t0, 7',
      '  sha256 7\tee or ff (tags lab)',
      'Challenge\ttpm_quote_v1, expires 2026-01-02 03:00:00Z',
    ])
      assert.ok(terminal.dataLines.includes(line), line);
    const json = await runCommand(t, 'device attestation show lab-1 --json', { routes });
    assert.deepEqual(JSON.parse(json.out), status);
  });

  it('lists verdicts, the newest first', async (t) => {
    const item = { ...listed, ...replay.stored, unrecorded: 12 };
    const page: AttestationVerdictList = { items: [item], next_cursor: null };
    const routes = { [`GET ${path}/verdicts`]: { body: page } };
    const { terminal, seen } = await runCommand(t, 'device attestation verdicts lab-1 --limit 3', { routes });
    assert.equal(seen[0]?.path, `${path}/verdicts?limit=3`);
    assert.deepEqual(terminal.dataLines, [
      'verdict\twhen\toutcome\tgeneration\tmoved\tonly counted\treason\tkey',
      `1\t2026-11-22 12:00:00Z\tverified\t1\tyes\t12\t\t${result.key_id}`,
    ]);
  });

  it('computes a verdict again, and ends with 1 when it comes out differently', async (t) => {
    const same = await runCommand(t, 'device attestation replay lab-1 --at 2026-11-22T13:00:00+01:00', {
      routes: { [`GET ${path}/replay`]: { body: replay } },
    });
    assert.equal(same.exit, 0);
    assert.equal(decodeURIComponent(same.seen[0]?.path ?? ''), `${path}/replay?at=2026-11-22T12:00:00.000Z`);
    const changed: VerdictReplay = {
      device_id: 'lab-1',
      at,
      ...replayVerdict({ ...kept, result: { ...result, outcome: 'refused', reason: 'pcr_mismatch' } }),
    };
    const routes = { [`GET ${path}/replay`]: { body: changed } };
    const other = await runCommand(t, 'device attestation replay lab-1', { routes });
    assert.equal(other.exit, 1);
    assert.equal(other.seen[0]?.path, `${path}/replay`);
    assert.match(
      other.out,
      /Stored\trefused, pcr_mismatch\nComputed\tverified\nSame\tfalse\n {2}differing\toutcome, reason/,
    );
    const json = await runCommand(t, 'device attestation replay lab-1 --json', { routes });
    assert.equal(json.exit, 1);
    assert.deepEqual(JSON.parse(json.out), changed);
    assert.equal((await runCommand(t, 'device attestation replay lab-1 --at yesterday')).exit, 2);
  });
});

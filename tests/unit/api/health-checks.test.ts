// What readiness says of each part, and how often the dearer questions are really asked.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createHealthChecks, type HealthCheckDeps } from '#api/health-checks.ts';
import { healthChecks } from '#contracts/health-checks.ts';
import type { RevocationList } from '#protocols/crl.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';

function checking(change: Partial<HealthCheckDeps> = {}) {
  const clock = fakeClock();
  const ago = (seconds: number) => new Date(clock.now().getTime() - seconds * 1000);
  const asked = { sealer: 0, worker: 0 };
  const checks = createHealthChecks({
    pingDatabase: async () => {},
    pingTemporal: async () => {},
    workerSeenAt: async () => {
      asked.worker += 1;
      return ago(3);
    },
    sealLagSeconds: async () => 1.2,
    sealLagLimitSeconds: 300,
    sealerStatus: async () => {
      asked.sealer += 1;
      return { last_success_at: ago(20).toISOString(), last_checkpoint_at: ago(90).toISOString(), has_error: false };
    },
    isRewritten: async () => false,
    isAuditWritable: async () => true,
    waitingNews: async () => 0,
    stuckActors: async () => 0,
    revocationLists: () => ({ files: 0, problems: [], outdated: [], older: [], nextUpdate: null }),
    assertionKeys: () => ({ files: 0, unreadable: 0, signs: false }),
    evidenceJudge: () => null,
    silentResponders: () => null,
    trustAnchors: () => 1,
    tlsNotAfter: ago(-100 * 86_400),
    clock,
    ...change,
  });
  const ask = async (name: string) => {
    const answer = await checks[name]?.();
    return `${answer?.status}: ${answer?.detail}`;
  };
  return { clock, asked, checks, ask, ago };
}

const inDays = (days: number): string =>
  new Date(Date.parse('2026-11-22T12:00:00.000Z') + days * 86_400_000).toISOString();
const lists = { files: 1, problems: [], outdated: [], older: [], nextUpdate: '2026-11-22T13:00:00.000Z' };
const kept = { issuer: 'CN=CA' } as RevocationList;

describe('what readiness says', () => {
  it('is that every part works when it does', async () => {
    const { checks, ask } = checking();
    const said = await Promise.all(Object.keys(checks).map(async (name) => `${name} ${await ask(name)}`));
    assert.deepEqual(said, [
      'database ok: answers',
      'temporal ok: answers',
      'worker ok: last seen 3 s ago',
      'audit ok: can be written',
      'news ok: nothing waits for an actor',
      'actors ok: none is stuck',
      'sealing ok: 1 s behind',
      'checkpoints ok: the last one was signed 90 s ago',
      'trust_anchors ok: 1 in force',
      'tls_certificate ok: ends in 100 d',
    ]);
  });

  it('has words and advice for each of them', () => {
    assert.deepEqual(
      Object.keys(checking().checks).filter((name) => !Object.hasOwn(healthChecks, name)),
      [],
    );
  });

  it('asks soon again for a worker that was not there', async () => {
    let seenAt: Date | null = null;
    const { ask, ago, clock } = checking({ workerSeenAt: async () => seenAt });
    assert.match(await ask('worker'), /^degraded/);
    seenAt = ago(1);
    assert.match(await ask('worker'), /^degraded/, 'whoever asks at once is told the same');
    clock.advance(500);
    assert.match(await ask('worker'), /^ok/);
  });

  const down = () => Promise.reject(new Error('secret address'));
  const old = { last_success_at: '2020-01-01T00:00:00.000Z', last_checkpoint_at: null, has_error: false };
  for (const [name, change, said] of [
    ['temporal', { pingTemporal: down }, /^degraded: cannot be reached; heartbeats are answered, decisions wait$/],
    ['worker', { workerSeenAt: down }, /^degraded: unknown: Temporal cannot be asked$/],
    ['worker', { workerSeenAt: async () => null }, /^degraded: no worker asks for work/],
    ['worker', { workerSeenAt: async () => new Date(0) }, /^degraded: last seen \d+ s ago; decisions wait$/],
    ['news', { waitingNews: async () => 1 }, /^degraded: news of 1 device waits for longer than a minute$/],
    ['news', { waitingNews: async () => 1_000 }, /^degraded: news of 1000 or more devices wait/],
    ['actors', { stuckActors: down }, /^degraded: unknown: Temporal cannot be asked$/],
    ['actors', { stuckActors: async () => 2 }, /^degraded: 2 do not go on; what was decided last holds$/],
    ['sealing', { sealLagSeconds: async () => 301 }, /^degraded: 301 s behind; changes are refused/],
    ['sealing', { sealerStatus: async () => ({ ...old, has_error: true }) }, /^degraded: .* the last round failed/],
    ['sealing', { sealerStatus: async () => old }, /^degraded: .* the sealer was last seen \d+ s ago$/],
    ['checkpoints', { sealerStatus: async () => old }, /^ok: none yet$/],
    ['trust_anchors', { trustAnchors: () => 0 }, /^degraded: there is none/],
    ['revocation', { revocationLists: () => ({ ...lists, nextUpdate: null }) }, /^degraded: there is none/],
    ['revocation', { revocationLists: () => ({ ...lists, outdated: ['CN=CA'] }) }, /^degraded: a list is out of date/],
    ['revocation', { revocationLists: () => ({ ...lists, problems: ['is not there'] }) }, /^degraded:.*is not there/],
    [
      'revocation',
      { revocationLists: () => ({ ...lists, older: [{ found: kept, kept }] }) },
      /^degraded: a file holds an older list of CN=CA than before; the newer one stays in force/,
    ],
    ['revocation', { revocationLists: () => lists }, /^ok: current for 60 min/],
    ['revocation', { revocationLists: () => ({ ...lists, nextUpdate: inDays(9) }) }, /^ok: current for 9 d$/],
    ['trust_assertions', { assertionKeys: () => ({ files: 1, unreadable: 0, signs: true }) }, /^ok: one key$/],
    [
      'trust_assertions',
      { assertionKeys: () => ({ files: 2, unreadable: 1, signs: false }) },
      /^degraded:.* no assertion is made/,
    ],
    [
      'trust_assertions',
      { assertionKeys: () => ({ files: 2, unreadable: 1, signs: true }) },
      /^degraded:.* not verified/,
    ],
    ['attestation', { evidenceJudge: () => ({ failures: 0 }) }, /^ok: evidence is judged$/],
    ['attestation', { evidenceJudge: () => ({ failures: 2 }) }, /^degraded: .* ended 2 times in a row/],
    ['revocation', { silentResponders: () => 0 }, /^ok: the responders answer/],
    ['revocation', { silentResponders: () => 1 }, /^degraded: an OCSP responder does not answer/],
    ['tls_certificate', { tlsNotAfter: new Date(0) }, /^degraded: has ended/],
  ] as const) {
    it(`of ${name}: ${said.source}`, async () => assert.match(await checking(change).ask(name), said));
  }

  it('has failed when the database does not answer, and says no more', async () => {
    await assert.rejects(checking({ pingDatabase: down }).ask('database'), /secret address/);
  });

  it('leaves out a certificate that somebody else shows', () => {
    assert.equal('tls_certificate' in checking({ tlsNotAfter: null }).checks, false);
  });

  it('asks the dearer questions only now and then, whoever polls, and a failure at once again', async () => {
    const { clock, asked, ask } = checking();
    for (let round = 0; round < 10; round += 1) await Promise.all([ask('sealing'), ask('checkpoints'), ask('worker')]);
    assert.deepEqual(asked, { sealer: 1, worker: 1 });
    clock.advance(5_000);
    await ask('sealing');
    assert.deepEqual(asked, { sealer: 2, worker: 1 });
    let failures = 0;
    const failing = checking({
      workerSeenAt: () => {
        failures += 1;
        return down();
      },
    });
    await failing.ask('worker');
    await failing.ask('worker');
    assert.equal(failures, 2);
  });
});

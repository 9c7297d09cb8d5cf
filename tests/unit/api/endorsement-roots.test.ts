// Files of trusted manufacturers that change while a process runs: what evidence is judged by follows, and never to the wrong side.
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createEndorsementRoots, rootsChanged, type RootsChange } from '#api/endorsement-roots.ts';
import type { AttestationBasis } from '#contracts/attestation.ts';
import type { JsonObject } from '#contracts/deps.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { forgeAuthority } from '#tests/unit/protocols/certificate-forge.ts';
import { circumstancesFor, judgedAt, provenEvidence, quoteBasis } from '#tests/unit/protocols/judgements.ts';
import { quoteVector, vectors } from '#tests/unit/protocols/tpm-vectors.ts';

const vector = quoteVector('rsassa', 'sha256');
const [root, intermediate] = vectors.authorities;
const certificate = vectors.endorsement.find(({ kind }) => kind === 'rsa')?.certificate ?? '';
const { certificatePem: other } = await forgeAuthority('Another manufacturer', {
  notBefore: new Date('2026-01-01'),
  notAfter: new Date('2028-01-01'),
});

/** Files with these contents, and what is judged by them. */
async function watched(t: TestContext, contents: readonly string[], change: Partial<AttestationBasis> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-roots-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const paths = contents.map((_, index) => join(folder, `${index}.pem`));
  for (const [index, path] of paths.entries()) await writeFile(path, contents[index] ?? '');
  const changes: RootsChange[] = [];
  const roots = createEndorsementRoots({
    paths,
    basis: quoteBasis(vector, { require_endorsement_chain: true, endorsement_roots: contents, ...change }),
    onChange: (one) => changes.push(one),
    log: { info: () => {}, error: () => {} },
    refreshMs: 3_600_000,
  });
  t.after(() => roots.close());
  const [first = ''] = paths;
  let beside = 0;
  return {
    ...roots,
    path: first,
    changes,
    /** As somebody does who takes care: whole from one moment to the next. */
    async replace(content: string): Promise<void> {
      const next = join(folder, `next-${(beside += 1)}`);
      await writeFile(next, content);
      await rename(next, first);
    },
    /** Looked at as often as it takes. */
    async settle(): Promise<void> {
      await roots.refresh();
      await roots.refresh();
    },
    outcome: (): readonly [string, string | null] => {
      const { outcome, reason } = judgeEvidence({
        evidence: { ...provenEvidence(vector), ek_certificate: certificate, endorsement_chain: [intermediate] },
        circumstances: circumstancesFor(vector, {
          external: { valid: true, endorsement_chain: [certificate, intermediate] } as JsonObject,
        }),
        basis: roots.basis(),
        now: judgedAt,
      });
      return [outcome, reason];
    },
  };
}
const verified = ['verified', null] as const;
const untrusted = ['refused', 'endorsement_untrusted'] as const;

describe('the files of trusted manufacturers', () => {
  it('are the same rules until one of them changes', async (t) => {
    const { basis, settle, changes, outcome, path } = await watched(t, [root]);
    const first = basis();
    await settle();
    await writeFile(path, root);
    await settle();
    assert.equal(basis(), first);
    assert.deepEqual(changes, []);
    assert.deepEqual(outcome(), verified);
  });

  it('take trust away as soon as a manufacturer is taken out, and give it back with it (AT-10)', async (t) => {
    const { replace, settle, changes, outcome } = await watched(t, [root]);
    await replace(other);
    await settle();
    assert.deepEqual(outcome(), untrusted);
    await replace(`${other}\n${root}`);
    await settle();
    assert.deepEqual(outcome(), verified);
    assert.deepEqual(
      changes.map(({ position, fingerprints, problem }) => [position, fingerprints.length, problem]),
      [
        [1, 1, null],
        [1, 2, null],
      ],
    );
  });

  it('serve as they were while one is being written', async (t) => {
    const { path, refresh, settle, changes, outcome, replace } = await watched(t, [root]);
    await settle();
    await writeFile(path, root.slice(0, 100));
    await refresh();
    assert.deepEqual(outcome(), verified);
    await rm(path);
    await refresh();
    assert.deepEqual(outcome(), verified);
    await replace(root);
    await settle();
    assert.deepEqual([outcome(), changes], [verified, []]);
  });

  it('vouch for nobody while one cannot be relied on: neither what it said before nor that nobody is asked (SA-03)', async (t) => {
    const wrong: Readonly<Record<string, (path: string) => Promise<void>>> = {
      empty: (path) => writeFile(path, ''),
      'no certificate': (path) => writeFile(path, 'certificates'),
      'half of one': (path) => writeFile(path, root.slice(0, 200)),
      'no authority': (path) => writeFile(path, certificate),
      gone: (path) => rm(path),
      'too large': (path) => writeFile(path, root.padEnd(1024 * 1024 + 1, '\n')),
    };
    // A verifier command that is believed without a chain must not be because a file is broken.
    const believed = { verifier: 'command', require_endorsement_chain: false } as const;
    for (const [what, spoil] of Object.entries(wrong)) {
      for (const change of [{}, believed]) {
        const { path, settle, outcome, changes, replace } = await watched(t, [root], change);
        await spoil(path);
        await settle();
        assert.deepEqual(outcome(), untrusted, what);
        assert.equal(changes.length, 1, what);
        assert.ok(changes[0]?.problem, what);
        assert.ok(!changes[0].problem.includes(path), what);
        await settle();
        assert.equal(changes.length, 1, 'it is said once');
        await replace(root);
        await settle();
        assert.deepEqual(outcome(), verified, what);
        assert.equal(changes[1]?.problem, null);
      }
    }
  });

  it('count each for itself', async (t) => {
    const { replace, settle, outcome, basis } = await watched(t, [other, root]);
    await replace('');
    await settle();
    assert.deepEqual(basis().endorsement_roots, ['', root]);
    assert.deepEqual(outcome(), verified);
  });

  it('are not looked at where none is named', async (t) => {
    const { basis, settle } = await watched(t, []);
    const first = basis();
    await settle();
    assert.equal(basis(), first);
  });

  it('say in the trail what has changed, and what vouches for nobody any more', () => {
    const now = judgedAt.toISOString();
    const changed = rootsChanged({ position: 1, fingerprints: ['aa'], problem: null }, now);
    assert.deepEqual(
      [changed.action, changed.category, changed.outcome],
      ['attestation.roots_changed', 'operations', 'success'],
    );
    const gone = rootsChanged({ position: 2, fingerprints: [], problem: 'it cannot be read' }, now);
    assert.deepEqual([gone.action, gone.outcome, gone.details['file']], ['attestation.roots_unavailable', 'failed', 2]);
  });
});

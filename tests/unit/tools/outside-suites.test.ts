// The suites of others are not here, so what runs them is tried with small ones of ours in their form.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { agentFolder as folderOf } from '#tests/harness/agent.ts';
import { explain } from '#tests/outside/difference.ts';
import { meantBeside, runLimbo } from '#tests/outside/limbo.ts';
import { runWycheproof } from '#tests/outside/wycheproof.ts';
import { forgeAuthority, forgeLeaf, now } from '#tests/unit/protocols/certificate-forge.ts';

describe('suites of others', () => {
  it('are given to what judges signatures, and each case that is judged otherwise is named', async (t) => {
    const folder = await folderOf(t);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const msg = Buffer.from('message');
    const good = sign(null, msg, privateKey).toString('hex');
    const cases = [
      { result: 'valid', sig: good },
      { result: 'invalid', sig: good.replace(/^../, 'ff') },
      { result: 'valid', sig: '00' },
      { result: 'invalid', sig: good },
    ].map((one, index) => ({ ...one, tcId: index, msg: msg.toString('hex'), comment: `case ${index}`, flags: [] }));
    const publicKeyDer = publicKey.export({ type: 'spki', format: 'der' }).toString('hex');
    await writeFile(
      join(folder, 'ed25519_test.json'),
      JSON.stringify({ testGroups: [{ publicKeyDer, tests: cases }] }),
    );
    await writeFile(join(folder, 'aes_gcm_test.json'), '{}');
    const { cases: count, differences } = runWycheproof(folder);
    assert.equal(count, 4);
    assert.deepEqual(
      differences.map(({ expected, why }) => [expected, why]),
      [
        ['accepted', 'case 2'],
        ['refused', 'case 3'],
      ],
    );
    assert.throws(() => runWycheproof(join(folder, 'nowhere')));
    assert.throws(() => runLimbo(join(folder, 'aes_gcm_test.json')));
  });

  it('are given to what proves paths, and what is meant to differ is told from what is not', async (t) => {
    const root = await forgeAuthority('Root');
    const leaf = await forgeLeaf(root);
    const of = (id: string, expected_result: string, trusted = root) => ({
      id,
      description: `${id}\nand more`,
      validation_kind: 'CLIENT',
      trusted_certs: [trusted.certificatePem],
      untrusted_intermediates: [],
      peer_certificate: leaf.certificatePem,
      validation_time: now.toISOString(),
      expected_result,
    });
    const other = await forgeAuthority('Root');
    const testcases = [
      of('good', 'SUCCESS'),
      of('foreign', 'FAILURE', other),
      of('wrong', 'FAILURE'),
      of('rfc5280::san::wrong', 'FAILURE'),
      of('rfc5280::san::good', 'SUCCESS', other),
    ];
    const file = join(await folderOf(t), 'limbo.json');
    await writeFile(file, JSON.stringify({ testcases }));
    const { cases, differences } = runLimbo(file);
    assert.equal(cases, 5);
    const { open, counts } = explain(differences, meantBeside);
    assert.deepEqual(
      open.map(({ id, expected }) => [id, expected]),
      [
        ['wrong', 'refused'],
        ['rfc5280::san::good', 'accepted'],
      ],
    );
    assert.deepEqual([...counts.values()], [1]);
    await writeFile(file, '{"testcases": []}');
    assert.throws(() => runLimbo(file), /no case/);
  });
});

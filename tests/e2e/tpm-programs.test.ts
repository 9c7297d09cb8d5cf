// The programs of deploy/tpm, with a TPM: what the collector prints is proven by our verifier, in the agent's hands too.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes, X509Certificate } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createQuoteCommand } from '#agent/attestation/quote-command.ts';
import type { Evidence, EvidenceProblem } from '#agent/attestation/provider.ts';
import type { AttestationChallenge } from '#agent/attestation/challenge.ts';
import { systemRandom } from '#contracts/deps.ts';
import { parseEndorsementRoots, verifyEndorsement } from '#protocols/endorsement.ts';
import type { PcrValues } from '#protocols/pcr.ts';
import { parsePcrBaselines, requireApproved } from '#protocols/pcr-baselines.ts';
import { makeCredential, readEndorsementKey } from '#protocols/tpm-credential.ts';
import { readVerifierAnswer } from '#protocols/verifier-answer.ts';
import { verifyTpmQuote } from '#protocols/tpm-quote.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { linkedCheckout } from '#tests/harness/npm-start.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { requires } from '#tests/harness/requires.ts';
import { startTpm, type Tpm } from '#tests/harness/tpm.ts';
import { forgeAuthority } from '#tests/unit/protocols/certificate-forge.ts';

const skip = requires('swtpm') || requires('swtpm_setup') || requires('tpm2') || requires('openssl');
const program = (name: string): string => fileURLToPath(new URL(`../../deploy/tpm/${name}`, import.meta.url));
const still = new AbortController().signal;

describe('the programs of deploy/tpm', { skip }, () => {
  const cleanup = cleanupAfterAll();
  let tpm: Tpm;
  let keys: string;
  let root: string;

  before(async () => {
    tpm = await startTpm(cleanup);
    keys = join(tpm.folder, 'keys');
    const [rootPem = '', issuerPem = ''] = tpm.authorities;
    root = join(tpm.folder, 'root.pem');
    await writeFile(root, rootPem);
    await writeFile(join(tpm.folder, 'chain.pem'), issuerPem);
  });

  const challenge = (more: Partial<AttestationChallenge> = {}): AttestationChallenge => ({
    provider: 'tpm_quote_v1',
    nonce: randomBytes(32).toString('base64url'),
    expires_at: '2030-01-01T00:00:00.000Z',
    pcr_selection: { sha256: [0, 7, 16], sha384: [4] },
    ...more,
  });
  const collector = (folder = keys, tcti = tpm.tcti, chain: readonly string[] = [join(tpm.folder, 'chain.pem')]) =>
    createQuoteCommand({
      deviceId: 'lab-1',
      command: [
        ...[process.execPath, program('quote-collector.ts'), '--folder', folder, '--tcti', tcti],
        ...chain.flatMap((file) => ['--chain', file]),
      ],
      timeoutMs: 60_000,
      environment: process.env,
    });
  const proven = async (asked: AttestationChallenge, folder = keys) => {
    const evidence = await collector(folder).measure(asked, still);
    const verified = verifyTpmQuote({ evidence, challenge: { nonce: asked.nonce, selection: asked.pcr_selection } });
    return { ...verified, evidence };
  };

  it('quote for the agent what our verifier proves, with a chain to the manufacturer (AG-06, AG-07, AT-13)', async () => {
    const verified = await proven(challenge());
    assert.equal(verified.signerParent, 'endorsement_key');
    assert.equal(verified.evidence['tpm_manufacturer'], 'IBM');
    const { ek_certificate, ek_public, endorsement_chain } = verified.evidence as Evidence & {
      readonly ek_certificate: string;
      readonly ek_public: string;
      readonly endorsement_chain: readonly string[];
    };
    const endorsed = verifyEndorsement({
      certificate: ek_certificate,
      chain: endorsement_chain,
      ekPublic: Buffer.from(ek_public, 'base64url'),
      roots: parseEndorsementRoots(tpm.authorities[0] ?? ''),
      now: new Date(),
    });
    assert.equal(endorsed.key.id, readEndorsementKey(Buffer.from(ek_public, 'base64url')).id);
    assert.equal((await stat(keys)).mode & 0o777, 0o700);
  });

  it('find the chain in the TPM itself, over several places and past what is none of it (AT-10)', async () => {
    const [, issuerPem = ''] = tpm.authorities;
    const stranger = await forgeAuthority('Stranger');
    const der = (pem: string): Buffer => new X509Certificate(pem).raw;
    const bytes = Buffer.concat([
      Buffer.from('30820fff', 'hex'),
      der(stranger.certificatePem),
      Buffer.alloc(5, 0xff),
      der(issuerPem),
      Buffer.alloc(64),
    ]);
    const half = Math.ceil(bytes.length / 2);
    for (const [place, part] of [
      ['0x1c00100', bytes.subarray(0, half)],
      ['0x1c00101', bytes.subarray(half)],
    ] as const) {
      const file = join(tpm.folder, place);
      await writeFile(file, part);
      const attributes = 'ownerread|ownerwrite|authread|authwrite';
      await tpm.run('tpm2_nvdefine', place, '-C', 'o', '-s', String(part.length), '-a', attributes);
      await tpm.run('tpm2_nvwrite', place, '-C', 'o', '-i', file);
    }
    const folder = join(tpm.folder, 'with-chain');
    for (let round = 0; round < 2; round += 1) {
      const evidence = await collector(folder, tpm.tcti, []).measure(challenge(), still);
      assert.deepEqual(evidence['endorsement_chain'], [new X509Certificate(issuerPem).toString()]);
    }
  });

  it('keep one attestation key, also after the machine was off, and see a register change (AG-07)', async () => {
    const first = await proven(challenge());
    const again = await proven(challenge());
    assert.equal(again.akName, first.akName);
    await tpm.run('tpm2_pcrextend', `16:sha256=${'11'.repeat(32)}`);
    const extended = await proven(challenge());
    assert.notEqual(extended.pcrs.sha256?.[16], first.pcrs.sha256?.[16]);
    await tpm.reset();
    const after = await proven(challenge());
    assert.equal(after.akName, first.akName);
    assert.ok(after.clock.resetCount > first.clock.resetCount);
    assert.equal(after.pcrs.sha256?.[16], first.pcrs.sha256?.[16]);
    await rm(join(keys, 'ak.priv'));
    await tpm.reset();
    assert.notEqual((await proven(challenge())).akName, first.akName, 'a new key where the old one is lost');
  });

  it('open a credential for their key, and leave its secret nowhere (AG-07)', async () => {
    const { akName, evidence } = await proven(challenge());
    const secret = randomBytes(32);
    const credential = makeCredential({
      endorsementKey: readEndorsementKey(Buffer.from(String(evidence['ek_public']), 'base64url')),
      akName: Buffer.from(akName, 'hex'),
      secret,
      random: systemRandom,
    });
    const asked = challenge({
      credential_activation: {
        credential_blob: credential.credentialBlob.toString('base64url'),
        encrypted_secret: credential.encryptedSecret.toString('base64url'),
      },
    });
    const opened = await proven(asked);
    assert.equal(opened.evidence['activated_secret'], secret.toString('base64url'));
    const kept = (await readdir(keys)).toSorted();
    assert.deepEqual(kept, ['ak.ctx', 'ak.priv', 'ak.pub', 'ek-chain.pem', 'ek.crt', 'ek.ctx', 'ek.pub']);
    const other = await proven(challenge(), join(tpm.folder, 'other'));
    assert.notEqual(other.akName, akName);
    await assert.rejects(collector(join(tpm.folder, 'other')).measure(asked, still), /exit code 1/);
  });

  it('say what is missing: the tools, the TPM, the request (AG-07)', async () => {
    await assert.rejects(
      collector(keys, 'swtpm:host=127.0.0.1,port=1').measure(challenge(), still),
      (error: EvidenceProblem) => {
        assert.match(error.said ?? '', /tpm2_createek failed/);
        return true;
      },
    );
    const toolless = createQuoteCommand({
      deviceId: 'lab-1',
      command: [process.execPath, program('quote-collector.ts'), '--folder', join(tpm.folder, 'none')],
      timeoutMs: 20_000,
      environment: { PATH: '/nowhere' },
    });
    await assert.rejects(toolless.measure(challenge(), still), (error: EvidenceProblem) => {
      assert.match(error.said ?? '', /is not installed: it is in the package tpm2-tools/);
      return true;
    });
    for (const request of [
      '',
      '{}',
      '{"nonce":"--help","pcr_selection":{"sha256":[0]}}',
      `{"nonce":"${'A'.repeat(43)}","pcr_selection":{"sha256:0 -o /tmp/x":[0]}}`,
      `{"nonce":"${'A'.repeat(43)}","pcr_selection":{"sha256":["0 --help"]}}`,
    ]) {
      const { code } = await typed('quote-collector.ts', ['--folder', keys, '--tcti', tpm.tcti], request);
      assert.equal(code, 1, request);
    }
    assert.equal((await typed('quote-collector.ts', [], '')).code, 2);
  });

  it('judge as an external verifier does: a verdict for each bundle, never a failure (AT-13, AT-14)', async () => {
    const asked = challenge();
    const { evidence, pcrs } = await proven(asked);
    const judge = async (changes: object, args: readonly string[] = ['--roots', root]) => {
      const input = { device_id: 'lab-1', nonce: asked.nonce, attestation: evidence, policy: {}, ...changes };
      const { code, output } = await typed('example-verifier.ts', args, JSON.stringify(input));
      assert.equal(code, 0);
      const answer = JSON.parse(output) as Record<string, unknown>;
      // As the server reads it.
      assert.equal(readVerifierAnswer(answer, asked.pcr_selection).valid, answer['valid']);
      return answer;
    };
    const { id } = readEndorsementKey(Buffer.from(String(evidence['ek_public']), 'base64url'));
    const good = await judge({});
    assert.deepEqual([good['valid'], good['pcrs']], [true, pcrs]);
    assert.deepEqual(good['hardware_identity'], { endorsement_key_id: id });
    assert.equal((good['endorsement_chain'] as string[]).length, 2);
    assert.equal(readVerifierAnswer(good, asked.pcr_selection).bindingId, id);
    assert.deepEqual((await judge({}, []))['hardware_identity'], { endorsement_key_id: id });
    const refusals: readonly [changes: object, reason: string][] = [
      [{ nonce: randomBytes(32).toString('base64url') }, 'other_challenge'],
      [{ attestation: { ...evidence, signature: evidence['quote'] } }, 'malformed'],
      [{ attestation: null }, 'pcr_selection'],
      [{ policy: { pcr_selection: { sha256: [0] } } }, 'pcr_selection'],
      [{ attestation: { ...evidence, endorsement_chain: [] } }, 'endorsement_untrusted'],
    ];
    for (const [changes, reason] of refusals) assert.deepEqual(await judge(changes), { valid: false, reason });
  });

  it('are used as their guide says (AT-13, DC-03)', async (t) => {
    const place = await linkedCheckout(t);
    const environment = {
      ...process.env,
      TPM2TOOLS_TCTI: tpm.tcti,
      PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}`,
    };
    const said: string[] = [];
    for (const { text } of blocksTypedBy(import.meta.filename))
      said.push((await promisify(execFile)('bash', ['--norc', '-euc', text], { cwd: place, env: environment })).stdout);
    const verdict = said.find((text) => text.startsWith('{')) ?? '';
    assert.equal((JSON.parse(verdict) as { valid: boolean }).valid, true);

    // What the page about attestation makes of the last bundle: a baseline that approves of it, and the id of its hardware.
    const read = (name: string): Promise<string> => readFile(join(place, name), 'utf8');
    const { pcrs, ek_public } = JSON.parse(await read('bundle.json')) as { pcrs: PcrValues; ek_public: string };
    assert.deepEqual(Object.keys(pcrs.sha256 ?? {}), ['0', '2', '4', '7']);
    requireApproved(pcrs, parsePcrBaselines(await read('baselines.json')));
    const { id } = readEndorsementKey(Buffer.from(ek_public, 'base64url'));
    assert.ok(said.includes(`${id}  -\n`), said.join());
  });

  function typed(name: string, args: readonly string[], input: string): Promise<{ code: number; output: string }> {
    return new Promise((resolve) => {
      const child = execFile(process.execPath, [program(name), ...args], (error, output) =>
        resolve({ code: error === null ? 0 : Number(error.code), output }),
      );
      child.stdin?.end(input);
    });
  }
});

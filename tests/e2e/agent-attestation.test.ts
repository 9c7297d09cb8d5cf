// The agent as a process that proves what its device booted, to a small API that judges with our verifiers.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemRandom } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { parseEndorsementRoots, verifyEndorsement } from '#protocols/endorsement.ts';
import { parsePcrBaselines, requireApproved, selectionOf, type PcrBaseline } from '#protocols/pcr-baselines.ts';
import type { PcrValues } from '#protocols/pcr.ts';
import { verifySignedMeasurement } from '#protocols/signed-measurement.ts';
import { makeCredential } from '#protocols/tpm-credential.ts';
import { verifyTpmQuote } from '#protocols/tpm-quote.ts';
import { problemAnswer, scriptedApi, type ScriptedAnswer } from '#tests/fakes/scripted-api.ts';
import { issuedDevice, mutualTls, runAgent, startAgent } from '#tests/harness/agent.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { requires } from '#tests/harness/requires.ts';
import { startTpm } from '#tests/harness/tpm.ts';

const collector = fileURLToPath(new URL('../../deploy/tpm/quote-collector.ts', import.meta.url));
const skip = requires('swtpm') || requires('swtpm_setup') || requires('tpm2');

interface Challenge {
  readonly provider: string;
  readonly nonce: string;
  readonly expires_at: string;
  readonly pcr_selection: object;
  readonly credential_activation?: object;
}

interface Beat {
  readonly heartbeat_counter: number;
  readonly attestation?: Readonly<Record<string, unknown>>;
}

type Verdict = 'verified' | 'unproven';

/**
 * A server of one device: asks again and again, judges what comes, and keeps every outcome.
 *
 * @param judge Throws for evidence that is refused.
 */
async function aServer(
  t: TestContext,
  options: {
    readonly provider: string;
    readonly baselines: readonly PcrBaseline[];
    readonly judge: (evidence: unknown, challenge: Challenge) => Verdict;
    readonly activation?: () => object | undefined;
  },
) {
  const device = await issuedDevice(t);
  const outcomes: string[] = [];
  const beats: Beat[] = [];
  let open: Challenge | null = null;
  const ask = (): Challenge => {
    const credential_activation = options.activation?.();
    return {
      provider: options.provider,
      nonce: randomBytes(32).toString('base64url'),
      expires_at: new Date(Date.now() + 60_000).toISOString(),
      pcr_selection: selectionOf(options.baselines),
      ...(credential_activation === undefined ? {} : { credential_activation }),
    };
  };
  const answer = (beat: Beat): ScriptedAnswer => {
    beats.push(beat);
    const asked = open;
    open ??= ask();
    let tier = 'observed';
    if (beat.attestation !== undefined && asked !== null) {
      open = null;
      try {
        const outcome = options.judge(beat.attestation, asked);
        outcomes.push(outcome);
        if (outcome === 'verified') tier = 'trusted';
        open = ask();
      } catch (error) {
        if (!(error instanceof TrustError)) throw error;
        outcomes.push(String(error.facts['reason'] ?? error.code));
        open = ask();
        return problemAnswer(403, error.code, { attestation_challenge: open });
      }
    }
    return {
      body: {
        status: 'accepted',
        trust_tier: tier,
        commands: [],
        attestation_challenge: open,
        acknowledged: [],
        next_heartbeat_seconds: 1,
      },
    };
  };
  const api = await scriptedApi(t, ({ body }) => answer(body as Beat), mutualTls(device.ca));
  const configure = async (changes: object): Promise<string> => {
    const file = join(device.folder, 'config.json');
    const source = {
      device_id: 'lab-1',
      server_url: api.url,
      server_ca_path: 'ca.crt',
      certificate_path: 'device.crt',
      private_key_path: 'device.key',
      state_path: 'state.json',
      ...changes,
    };
    await writeFile(file, JSON.stringify(source), { mode: 0o600 });
    return file;
  };
  const state = async () =>
    JSON.parse(await readFile(join(device.folder, 'state.json'), 'utf8')) as {
      next_heartbeat_counter: number;
      attestation_challenge?: Challenge;
    };
  return { ...device, outcomes, beats, configure, state };
}

describe('an agent that is asked what its device booted', () => {
  it('signs its measurements, again after it was killed, with counters that only grow (AG-05, AG-08, AG-09)', async (t) => {
    const pcrs = { sha256: { '0': 'ab'.repeat(32) } };
    const baselines = parsePcrBaselines(JSON.stringify({ sha256: { '0': ['ab'.repeat(32)] } }));
    const server = await aServer(t, {
      provider: 'signed_measurement_v1',
      baselines,
      judge: (evidence, { nonce }) => {
        const verified = verifySignedMeasurement({
          evidence,
          deviceId: 'lab-1',
          challenge: { nonce, selection: { sha256: [0] } },
          limits: { maximumAgeSeconds: 60, maximumClockSkewSeconds: 0 },
          now: new Date(),
        });
        requireApproved(verified.pcrs, baselines);
        return 'verified';
      },
    });
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const inFolder = (name: string): string => join(server.folder, name);
    await writeFile(inFolder('attest.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await writeFile(inFolder('attest.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
    await writeFile(inFolder('pcrs.json'), JSON.stringify(pcrs));
    const config = await server.configure({
      attestation_private_key_path: 'attest.key',
      attestation_public_key_path: 'attest.pub',
      measured_pcrs_path: 'pcrs.json',
    });

    assert.equal((await runAgent(t, ['run', '--once', '--config', config])).code, 0);
    const asked = (await server.state()).attestation_challenge;
    assert.ok(asked !== undefined, 'the challenge outlives the process');
    const agent = startAgent(t, ['run', '--config', config]);
    await agent.line(/trust tier of this device is trusted/);
    assert.deepEqual([...new Set(server.outcomes)], ['verified']);
    const first = server.beats.find(({ attestation }) => attestation !== undefined)?.attestation as {
      measurement: { nonce: string };
    };
    assert.equal(first.measurement.nonce, asked.nonce, 'what it was asked before it began');
    agent.child.kill('SIGKILL');
    await agent.ended;

    await writeFile(inFolder('pcrs.json'), JSON.stringify({ sha256: { '0': 'cd'.repeat(32) } }));
    const before = server.beats.length;
    const again = startAgent(t, ['run', '--config', config]);
    const refused = await again.line(/Heartbeats are refused/);
    assert.equal(refused['code'], 'attestation.failed');
    assert.equal(server.outcomes.at(-1), 'pcr_mismatch');
    assert.ok(server.beats.slice(before)[0]?.attestation !== undefined, 'its first heartbeat answers what is kept');
    await writeFile(inFolder('pcrs.json'), JSON.stringify(pcrs));
    await again.line(/Heartbeats are accepted/);
    await eventually(() => server.outcomes.at(-1) === 'verified', 'trusted again');
    const counters = server.beats.map(({ heartbeat_counter }) => heartbeat_counter);
    assert.deepEqual(
      counters,
      [...new Set(counters)].toSorted((a, b) => a - b),
    );
  });

  it('sends heartbeats all the same when its command fails, and says why once (AG-06)', async (t) => {
    const server = await aServer(t, {
      provider: 'tpm_quote_v1',
      baselines: parsePcrBaselines(JSON.stringify({ sha256: { '0': ['ab'.repeat(32)] } })),
      judge: () => 'verified',
    });
    const config = await server.configure({
      attestation_provider: 'tpm_quote_v1',
      tpm_quote_command: [process.execPath, '-e', 'console.error("no TPM here"); process.exit(4)'],
      tpm_quote_timeout_seconds: 1,
    });
    const agent = startAgent(t, ['run', '--config', config]);
    const told = await agent.line(/no evidence/);
    assert.match(told.msg, /tpm_quote_command ended with exit code 4/);
    assert.equal(told['said'], 'no TPM here');
    await eventually(() => server.beats.length >= 5, 'heartbeats');
    assert.ok(server.beats.every(({ attestation }) => attestation === undefined));
    assert.equal(agent.lines.filter(({ msg }) => /no evidence/.test(msg)).length, 1);
  });

  it(
    'quotes with its TPM, opens the credential, and is refused once a register has changed (AG-06, AG-07)',
    { skip, timeout: 120_000 },
    async (t) => {
      const tpm = await startTpm(t);
      const chain = join(tpm.folder, 'chain.pem');
      await writeFile(chain, tpm.authorities[1] ?? '');
      const baselines = parsePcrBaselines(
        JSON.stringify({ sha256: { '0': ['00'.repeat(32)], '7': ['00'.repeat(32)] } }),
      );
      const roots = parseEndorsementRoots(tpm.authorities[0] ?? '');
      const secret = randomBytes(32);
      let credential: ReturnType<typeof makeCredential> | undefined;
      const server = await aServer(t, {
        provider: 'tpm_quote_v1',
        baselines,
        activation: () =>
          credential && {
            credential_blob: credential.credentialBlob.toString('base64url'),
            encrypted_secret: credential.encryptedSecret.toString('base64url'),
          },
        judge: (evidence, challenge) => {
          const { evidence: read, ...verified } = verifyTpmQuote({
            evidence,
            challenge: { nonce: challenge.nonce, selection: selectionOf(baselines) },
          });
          requireApproved(verified.pcrs as PcrValues, baselines);
          const { key: endorsementKey } = verifyEndorsement({
            certificate: read.ekCertificate,
            chain: read.endorsementChain,
            ekPublic: read.ekPublic,
            roots,
            now: new Date(),
          });
          if (challenge.credential_activation !== undefined) {
            assert.deepEqual(read.activatedSecret, secret);
            return 'verified';
          }
          const akName = Buffer.from(verified.akName, 'hex');
          credential = makeCredential({ endorsementKey, akName, secret, random: systemRandom });
          return 'unproven';
        },
      });
      const config = await server.configure({
        attestation_provider: 'tpm_quote_v1',
        tpm_quote_command: [
          ...[process.execPath, collector, '--folder', join(server.folder, 'keys')],
          ...['--tcti', tpm.tcti, '--chain', chain],
        ],
      });
      const agent = startAgent(t, ['run', '--config', config]);
      await agent.line(/trust tier of this device is trusted/);
      assert.deepEqual(server.outcomes.slice(0, 2), ['unproven', 'verified']);
      await tpm.run('tpm2_pcrextend', `7:sha256=${'11'.repeat(32)}`);
      const refused = await agent.line(/Heartbeats are refused/);
      assert.equal(refused['code'], 'attestation.failed');
      assert.ok(server.outcomes.includes('pcr_mismatch'));
      agent.child.kill('SIGTERM');
      const { out, errors } = await agent.ended;
      const kept = await readFile(join(server.folder, 'state.json'), 'utf8');
      for (const text of [out, errors, kept]) assert.ok(!text.includes(secret.toString('base64url')));
    },
  );
});

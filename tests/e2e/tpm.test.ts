// Against a TPM: its quotes are accepted, our credentials open in it, and tpm2-tools judge as we do.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { credentialFile, endorsementKeyOf, makeCredential, readEndorsementKey } from '#protocols/tpm-credential.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import { verifyTpmQuote } from '#protocols/tpm-quote.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { runProgram } from '#start/run-program.ts';
import { demoTpm } from '#start/tpm.ts';
import { programPath, requires } from '#tests/harness/requires.ts';
import { attestationKeys, startTpm, type AttestationKey, type Tpm } from '#tests/harness/tpm.ts';

const skip = requires('swtpm') || requires('swtpm_setup') || requires('tpm2');

describe('a TPM', { skip }, () => {
  const cleanup = cleanupAfterAll();
  let tpm: Tpm;
  const challengeOf = (selection: Parameters<Tpm['quote']>[1]['selection']) => ({
    nonce: randomBytes(32).toString('base64url'),
    selection,
  });
  /** tpm2_checkquote needs no TPM: it is another verifier of the same files. */
  const agrees = async (key: AttestationKey, nonce: string): Promise<boolean> =>
    tpm
      .run(
        'tpm2_checkquote',
        ...['-u', key.publicFile, '-m', 'quote.msg', '-s', 'quote.sig', '-f', 'quote.pcr', '-g', key.kind.hash],
        ...['-q', Buffer.from(nonce, 'base64url').toString('hex')],
      )
      .then(
        () => true,
        () => false,
      );

  before(async () => {
    tpm = await startTpm(cleanup);
  });

  for (const kind of attestationKeys) {
    const name = Object.values(kind).join(', ');
    it(`quotes what is accepted, and opens a credential that we made: ${name}`, async () => {
      const key = await tpm.attestationKey(kind);
      const challenge = challengeOf({ sha256: [0, 1, 7, 23], sha384: [4] });
      const evidence = await tpm.quote(key, challenge);
      const verified = verifyTpmQuote({ evidence, challenge });
      assert.equal(verified.akName, key.name.toString('hex'));
      assert.equal(verified.signerParent, 'endorsement_key');
      // The tool of Debian 12 cannot check RSAPSS.
      if (kind.scheme !== 'rsapss') assert.ok(await agrees(key, challenge.nonce));
      const other = challengeOf(challenge.selection);
      assert.throws(() => verifyTpmQuote({ evidence, challenge: other }), { code: 'attestation.nonce_unknown' });
      assert.equal(await agrees(key, other.nonce), false);

      const { ekPublic, certificatePem } = await tpm.endorsementKey(kind.ek);
      const endorsementKey = readEndorsementKey(ekPublic);
      const secret = randomBytes(32);
      const credential = makeCredential({ endorsementKey, akName: key.name, secret, random: systemRandom });
      assert.deepEqual(await tpm.activate(key, credentialFile(credential)), secret);
      if (certificatePem === null) return;
      const certified = endorsementKeyOf(parseCertificate(certificatePem).publicKey);
      const again = makeCredential({ endorsementKey: certified, akName: key.name, secret, random: systemRandom });
      assert.deepEqual(await tpm.activate(key, credentialFile(again)), secret, 'made with the certificate alone');
    });
  }

  it('does not open a credential for another key or another TPM', async () => {
    const [kind] = attestationKeys;
    const [key, other] = [await tpm.attestationKey(kind), await tpm.attestationKey(kind)];
    const { ekPublic } = await tpm.endorsementKey(kind.ek);
    const { ekPublic: foreign } = await tpm.endorsementKey('rsa3072');
    const secret = randomBytes(32);
    const make = (ek: Buffer): Buffer =>
      credentialFile(
        makeCredential({ endorsementKey: readEndorsementKey(ek), akName: key.name, secret, random: systemRandom }),
      );
    assert.deepEqual(await tpm.activate(key, make(ekPublic)), secret);
    await assert.rejects(tpm.activate(other, make(ekPublic)));
    await assert.rejects(tpm.activate(key, make(foreign)));
  });

  it('shows a restart, and a register that changed', async () => {
    const key = await tpm.attestationKey(attestationKeys[4]);
    const quoted = async () => {
      const challenge = challengeOf({ sha256: [16] });
      return verifyTpmQuote({ evidence: await tpm.quote(key, challenge), challenge });
    };
    const first = await quoted();
    await tpm.run('tpm2_pcrextend', `16:sha256=${'11'.repeat(32)}`);
    const second = await quoted();
    assert.notEqual(second.pcrs.sha256?.[16], first.pcrs.sha256?.[16]);
    assert.deepEqual(
      [second.clock.resetCount, second.clock.restartCount],
      [first.clock.resetCount, first.clock.restartCount],
    );
  });
});

describe('the TPM of a simulated device', { skip }, () => {
  const cleanup = cleanupAfterAll();

  it('goes on with its clock after it was killed, so that what it shows then is not from before', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sentinel-demo-tpm-'));
    cleanup.after(() => rm(folder, { recursive: true, force: true }));
    const environment = { PATH: process.env.PATH ?? '' };
    for (let round = 0; round < 2; round += 1) {
      const began = Date.now();
      const { part, tcti } = await demoTpm(join(folder, 'tpm'), environment, systemClock);
      const running = spawn(part.command, part.args, { env: environment, stdio: 'ignore' });
      const ended = once(running, 'exit');
      cleanup.after(() => void running.kill('SIGKILL'));
      await part.ready(AbortSignal.timeout(30_000), () => {});
      const text = await runProgram(programPath('tpm2'), ['readclock'], {
        environment: { ...environment, TPM2TOOLS_TCTI: tcti },
        withinMs: 10_000,
      });
      // It goes by the clock of this machine, which goes on while the TPM is off.
      assert.ok(Number(/^ *clock: (\d+)$/m.exec(text)?.[1]) >= began, text);
      running.kill('SIGKILL');
      await ended;
    }
  });
});

// The agent's side of attestation: what it keeps, what it answers, and what it says when it cannot.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createAttestation } from '#agent/attestation.ts';
import { readChallenge, type AttestationChallenge } from '#agent/attestation/challenge.ts';
import { configuredProvider } from '#agent/attestation/configured.ts';
import { EvidenceProblem, type EvidenceProvider } from '#agent/attestation/provider.ts';
import { createQuoteCommand } from '#agent/attestation/quote-command.ts';
import { readConfig } from '#agent/config.ts';
import { heartbeat } from '#agent/device.ts';
import { openState } from '#agent/state.ts';
import { ApiProblem, parseProblem } from '#client/api-problem.ts';
import { systemRandom as random } from '#contracts/deps.ts';
import type { HeartbeatAnswer, HeartbeatBody } from '#contracts/http/heartbeat.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import { verifySignedMeasurement } from '#protocols/signed-measurement.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { fakeSystem } from '#tests/fakes/fake-system.ts';
import { agentFolder } from '#tests/harness/agent.ts';
import { eventually } from '#tests/harness/eventually.ts';

const selection = { sha256: [0, 7] } as const;
const values = { sha256: { '0': 'ab'.repeat(32), '7': 'cd'.repeat(32) } };
const still = new AbortController().signal;

function aChallenge(changes: Partial<AttestationChallenge> = {}): AttestationChallenge {
  return {
    provider: 'signed_measurement_v1',
    nonce: randomBytes(32).toString('base64url'),
    expires_at: '2026-11-22T12:05:00.000Z',
    pcr_selection: selection,
    ...changes,
  };
}

const answerWith = (attestation_challenge: AttestationChallenge | null): HeartbeatAnswer => ({
  status: 'accepted',
  trust_tier: 'observed',
  commands: [],
  attestation_challenge: attestation_challenge as HeartbeatAnswer['attestation_challenge'],
  acknowledged: [],
  next_heartbeat_seconds: 15,
});

const refusalWith = (code: ProblemCode, attestation_challenge?: AttestationChallenge): ApiProblem =>
  parseProblem(403, JSON.stringify({ code, title: 'A title', detail: 'A detail', attestation_challenge }), null);

/** An agent without its loop: each `beat` is one heartbeat, answered as given. */
async function anAgent(
  t: TestContext,
  { provider, path }: { readonly provider?: Partial<EvidenceProvider> | null; readonly path?: string } = {},
) {
  const file = path ?? join(await agentFolder(t), 'state.json');
  const clock = fakeClock();
  const log = fakeLog();
  const elapsed = { ms: 0 };
  const asked: AttestationChallenge[] = [];
  const measure: EvidenceProvider['measure'] = async (challenge) => {
    asked.push(challenge);
    return { provider: challenge.provider, answers: challenge.nonce };
  };
  const state = await openState(file, 'lab-1', random);
  const attestation = createAttestation({
    store: state.challenge,
    provider: provider === null ? null : { name: 'signed_measurement_v1', measure, ...provider },
    clock,
    log,
    elapsedMs: () => elapsed.ms,
  });
  const sent: HeartbeatBody[] = [];
  const beat = async (answer: HeartbeatAnswer | ApiProblem): Promise<HeartbeatBody['attestation']> => {
    await heartbeat(
      {
        deviceId: 'lab-1',
        nextCounter: state.nextCounter,
        observe: async (signal) => {
          const attested = await attestation.evidence(signal);
          return attested === null ? {} : { attestation: attested };
        },
        send: attestation.listening(async (body) => {
          sent.push(body);
          if (answer instanceof ApiProblem) throw answer;
          return answer;
        }),
      },
      still,
    );
    return sent.at(-1)?.attestation;
  };
  const stored = async () => JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  return { file, clock, log, elapsed, asked, sent, beat, stored };
}

const lost = new ApiProblem({ code: 'service.unavailable', status: 0 });

describe('the attestation of an agent', () => {
  it('keeps the challenge before it is used, answers it with the next heartbeat, and forgets it then (AG-09)', async (t) => {
    const agent = await anAgent(t);
    const challenge = aChallenge();
    assert.equal(await agent.beat(answerWith(challenge)), undefined);
    assert.deepEqual((await agent.stored())['attestation_challenge'], challenge);
    assert.deepEqual(agent.asked, [], 'it is on disk before anything is made of it');
    assert.deepEqual(await agent.beat(answerWith(null)), { provider: challenge.provider, answers: challenge.nonce });
    assert.deepEqual(agent.asked, [challenge]);
    const after = await agent.stored();
    assert.ok(!('attestation_challenge' in after));
    assert.equal(await agent.beat(answerWith(null)), undefined);
    const counters = agent.sent.map(({ heartbeat_counter }) => heartbeat_counter);
    assert.deepEqual(counters, [1, 2, 3]);
  });

  it('takes the challenge of a refusal of evidence too', async (t) => {
    const agent = await anAgent(t);
    const [first, second] = [aChallenge(), aChallenge()];
    await agent.beat(answerWith(first));
    await agent.beat(refusalWith('attestation.failed', second));
    assert.deepEqual((await agent.stored())['attestation_challenge'], second);
    await agent.beat(refusalWith('attestation.failed'));
    assert.deepEqual(agent.asked, [first, second]);
    assert.equal(await agent.beat(answerWith(null)), undefined, 'nothing is asked any more');
  });

  it('answers after a restart what it was asked before it, with a higher counter (AG-08, AG-09)', async (t) => {
    const before = await anAgent(t);
    const challenge = aChallenge();
    await before.beat(answerWith(challenge));
    const after = await anAgent(t, { path: before.file });
    assert.deepEqual(await after.beat(answerWith(null)), { provider: challenge.provider, answers: challenge.nonce });
    assert.ok(Number(after.sent[0]?.heartbeat_counter) > Number(before.sent[0]?.heartbeat_counter));
  });

  it('makes evidence once, also when it is sent again', async (t) => {
    const agent = await anAgent(t);
    const challenge = aChallenge();
    await agent.beat(answerWith(challenge));
    const busy = parseProblem(503, JSON.stringify({ code: 'service.unavailable' }), 1);
    const first = await agent.beat(busy);
    assert.notEqual(first, undefined);
    assert.deepEqual(await agent.beat(lost), first, 'it was not looked at');
    assert.equal(await agent.beat(answerWith(challenge)), undefined, 'its nonce may be used: the server is asked');
    assert.deepEqual(await agent.beat(answerWith(null)), first);
    assert.equal(agent.asked.length, 1);
  });

  it('drops what has expired, but only by a clock that can tell', async (t) => {
    const before = await anAgent(t);
    await before.beat(answerWith(aChallenge()));
    const after = await anAgent(t, { path: before.file });
    after.clock.advance(300_000);
    assert.equal(await after.beat(lost), undefined);
    assert.ok(!('attestation_challenge' in (await after.stored())));

    const ahead = await anAgent(t);
    ahead.clock.advance(3_600_000);
    await ahead.beat(answerWith(aChallenge()));
    assert.notEqual(await ahead.beat(answerWith(null)), undefined, 'the server has just asked it');
  });

  it('sends the heartbeat without evidence when there is none, and says why once', async (t) => {
    const reasons = ['the key is gone', 'the key is gone', 'the TPM is busy'];
    const measure = async () => {
      throw new EvidenceProblem(reasons.shift() ?? 'no more', 'tool: error 7');
    };
    const agent = await anAgent(t, { provider: { measure } });
    const challenge = aChallenge();
    await agent.beat(answerWith(challenge));
    for (let beats = 0; beats < 3; beats += 1) {
      assert.equal(await agent.beat(answerWith(challenge)), undefined);
      agent.elapsed.ms += 15_000;
    }
    assert.equal(reasons.length, 2, 'it is not tried again with every heartbeat');
    agent.elapsed.ms += 60_000;
    await agent.beat(answerWith(challenge));
    agent.elapsed.ms += 60_000;
    await agent.beat(answerWith(challenge));
    assert.deepEqual(
      agent.log.lines.map(({ level, message }) => `${level} ${message}`),
      [
        'warn There is no evidence for Sentinel: the key is gone',
        'warn There is no evidence for Sentinel: the TPM is busy',
      ],
    );
    assert.match(agent.log.text(), /tool: error 7/);
  });

  it('says that it is not set up for what it is asked, and goes on', async (t) => {
    for (const [provider, words] of [
      [null, /is not set up for attestation/],
      [{}, /is set up for signed_measurement_v1/],
    ] as const) {
      const agent = await anAgent(t, { provider });
      const challenge = aChallenge({ provider: 'tpm_quote_v1' });
      for (let beats = 0; beats < 4; beats += 1) assert.equal(await agent.beat(answerWith(challenge)), undefined);
      assert.equal(agent.log.lines.length, 1);
      assert.match(agent.log.text(), words);
    }
  });

  it('does not send evidence again that the server cannot read', async (t) => {
    const agent = await anAgent(t);
    const challenge = aChallenge();
    await agent.beat(answerWith(challenge));
    assert.notEqual(await agent.beat(parseProblem(400, JSON.stringify({ code: 'request.invalid' }), null)), undefined);
    assert.equal(await agent.beat(answerWith(null)), undefined);
    assert.match(agent.log.text(), /cannot read the evidence/);
  });

  it('does not use a challenge that cannot be kept', async (t) => {
    const folder = await agentFolder(t);
    const file = join(folder, 'deep', 'state.json');
    const agent = await anAgent(t, { path: file });
    await agent.beat(answerWith(null));
    await rm(join(folder, 'deep'), { recursive: true });
    await writeFile(join(folder, 'deep'), 'a file where the folder should be');
    await agent.beat(answerWith(aChallenge()));
    assert.equal(await agent.beat(answerWith(null)), undefined);
    assert.equal(agent.sent.length, 3, 'the counter was written ahead');
    assert.match(agent.log.text(), /cannot be kept/);
  });

  it('hands the credential to the provider, and its secret to no log', async (t) => {
    const secret = 'c2VjcmV0LW9mLXRoZS10cG0';
    const measure: EvidenceProvider['measure'] = async ({ credential_activation, provider }) => {
      assert.deepEqual(credential_activation, { credential_blob: 'AAAA', encrypted_secret: 'BBBB' });
      return { provider, activated_secret: secret };
    };
    const agent = await anAgent(t, { provider: { measure } });
    await agent.beat(
      answerWith(aChallenge({ credential_activation: { credential_blob: 'AAAA', encrypted_secret: 'BBBB' } })),
    );
    const sent = (await agent.beat(refusalWith('attestation.failed'))) as { activated_secret?: string };
    assert.equal(sent.activated_secret, secret);
    assert.ok(!agent.log.text().includes(secret));
    assert.ok(!(await readFile(agent.file, 'utf8')).includes(secret));
  });
});

describe('a challenge as it comes', () => {
  const good = aChallenge({ credential_activation: { credential_blob: 'AAAA', encrypted_secret: 'BBBB' } });
  it('is read with all that it has, and without what it should not have', () => {
    assert.deepEqual(readChallenge({ ...good, more: 1 }), good);
  });
  const bad: readonly [what: string, value: unknown][] = [
    ['nothing', null],
    ['a text', 'challenge'],
    ['a short nonce', { ...good, nonce: 'AAAA' }],
    ['a provider that is no word', { ...good, provider: 'a b' }],
    ['no time', { ...good, expires_at: '2026-99-99T99:99:99.000Z' }],
    ['no selection', { ...good, pcr_selection: undefined }],
    ['a selection of nothing', { ...good, pcr_selection: {} }],
    ['a register that there is not', { ...good, pcr_selection: { sha256: [24] } }],
    ['registers that are no list', { ...good, pcr_selection: { sha256: { length: 1 } } }],
    ['another bank', { ...good, pcr_selection: { sha1: [0] } }],
    ['half a credential', { ...good, credential_activation: { credential_blob: 'AAAA' } }],
    [
      'a credential that is no base64url',
      { ...good, credential_activation: { credential_blob: '$(x)', encrypted_secret: 'AA' } },
    ],
  ];
  for (const [what, value] of bad) it(`is none: ${what}`, () => assert.equal(readChallenge(value), null));
});

describe('signed measurements of an agent', () => {
  async function measuring(t: TestContext, changes: object = {}, files: Readonly<Record<string, string>> = {}) {
    const folder = await agentFolder(t);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    await writeFile(join(folder, 'attest.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await writeFile(join(folder, 'attest.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
    const source = {
      device_id: 'lab-1',
      server_url: 'https://localhost:1',
      certificate_path: 'device.crt',
      private_key_path: 'device.key',
      state_path: 'state.json',
      attestation_private_key_path: 'attest.key',
      attestation_public_key_path: 'attest.pub',
      ...changes,
    };
    const config = readConfig(source, folder);
    const clock = fakeClock();
    const at = (name: string): string => (name.startsWith('/') ? name : join(folder, name));
    const system = fakeSystem({
      files: Object.fromEntries(Object.entries(files).map(([name, text]) => [at(name), text])),
    });
    return { folder, clock, provider: configuredProvider(config, { system, clock, environment: {} }) };
  }
  const kernel = {
    '/sys/class/tpm/tpm0/pcr-sha256/0': `${'AB'.repeat(32)}\n`,
    '/sys/class/tpm/tpm0/pcr-sha256/7': `${'CD'.repeat(32)}\n`,
  };

  it('are accepted by the verifier: values of the kernel, signed over the nonce (AG-05)', async (t) => {
    const { provider, clock } = await measuring(t, { attestation_provider: 'signed_measurement_v1' }, kernel);
    const challenge = aChallenge();
    const evidence = await provider?.measure(challenge, still);
    const limits = { maximumAgeSeconds: 60, maximumClockSkewSeconds: 0 };
    const verified = verifySignedMeasurement({
      evidence,
      deviceId: 'lab-1',
      challenge: { nonce: challenge.nonce, selection },
      limits,
      now: clock.now(),
    });
    assert.deepEqual(verified.pcrs, values);
  });

  it('are on once both keys are named, also without a provider, and off without keys (AG-04, AG-05)', async (t) => {
    assert.equal((await measuring(t)).provider?.name, 'signed_measurement_v1');
    const none = { attestation_private_key_path: '', attestation_public_key_path: '' };
    for (const attestation_provider of ['', 'signed_measurement_v1', 'tpm_quote_v1'])
      assert.equal((await measuring(t, { ...none, attestation_provider })).provider, null);
  });

  it('take what a file says before what the kernel says', async (t) => {
    const measured = { sha256: { '0': `0x${'EF'.repeat(32)}` } };
    const files = { ...kernel, 'pcrs.json': JSON.stringify(measured) };
    const { provider } = await measuring(t, { measured_pcrs_path: 'pcrs.json' }, files);
    const evidence = (await provider?.measure(aChallenge(), still)) as unknown as { measurement: { pcrs: unknown } };
    assert.deepEqual(evidence.measurement.pcrs, { sha256: { '0': 'ef'.repeat(32), '7': 'cd'.repeat(32) } });
  });

  it('are not made without a value of each register, or with a pair that is none', async (t) => {
    const { provider } = await measuring(t, {}, { '/sys/class/tpm/tpm0/pcr-sha256/0': 'AB'.repeat(32) });
    await assert.rejects(async () => provider?.measure(aChallenge(), still), /no value of PCR 7 of the sha256 bank/);
    const other = await measuring(t, {}, kernel);
    const { publicKey } = generateKeyPairSync('ed25519');
    await writeFile(join(other.folder, 'attest.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
    await assert.rejects(async () => other.provider?.measure(aChallenge(), still), /not the public half/);
  });
});

describe('the command that quotes', () => {
  const bundleOf = (challenge: AttestationChallenge, more: object = {}) => ({
    provider: 'tpm_quote_v1',
    nonce: challenge.nonce,
    quote: 'AAAA',
    signature: 'AAAA',
    pcrs: values,
    ak_public: 'AAAA',
    ...more,
  });
  /** A program of these lines; `request` is what it was asked. */
  async function program(t: TestContext, lines: string, changes: { timeoutMs?: number } = {}) {
    const folder = await agentFolder(t);
    const file = join(folder, 'collector.mjs');
    await writeFile(
      file,
      `import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
const request = JSON.parse(readFileSync(0, 'utf8'));
writeFileSync(${JSON.stringify(join(folder, 'request.json'))}, JSON.stringify(request));
const bundle = { provider: 'tpm_quote_v1', nonce: request.nonce, quote: 'AAAA', signature: 'AAAA', pcrs: ${JSON.stringify(values)}, ak_public: 'AAAA' };
${lines}
`,
    );
    const provider = createQuoteCommand({
      deviceId: 'lab-1',
      command: [process.execPath, file, '$HOME; echo'],
      timeoutMs: 20_000,
      environment: { PATH: process.env.PATH },
      ...changes,
    });
    return { folder, provider };
  }
  const print = 'process.stdout.write(JSON.stringify(bundle));';
  const tpmChallenge = (more: Partial<AttestationChallenge> = {}) => aChallenge({ provider: 'tpm_quote_v1', ...more });

  it('gets the request on its standard input, and prints a bundle on its standard output (AG-06, AG-07)', async (t) => {
    const { folder, provider } = await program(t, `process.stderr.write('works');${print}`);
    const credential_activation = { credential_blob: 'AAAA', encrypted_secret: 'BBBB' };
    const challenge = tpmChallenge({ credential_activation });
    assert.deepEqual(await provider.measure(challenge, still), bundleOf(challenge));
    const request: unknown = JSON.parse(await readFile(join(folder, 'request.json'), 'utf8'));
    const { nonce, pcr_selection } = challenge;
    assert.deepEqual(request, { device_id: 'lab-1', nonce, pcr_selection, credential_activation });
    const plain = tpmChallenge();
    await provider.measure(plain, still);
    assert.ok(!(await readFile(join(folder, 'request.json'), 'utf8')).includes('credential_activation'));
  });

  const failures: readonly [what: string, lines: string, words: RegExp][] = [
    ['an exit code', `process.stderr.write('no TPM here'); process.exit(3);`, /ended with exit code 3/],
    ['a signal', `process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);`, /ended with SIGTERM/],
    ['no JSON', `process.stdout.write('secret words');`, /printed no JSON object/],
    ['another nonce', `bundle.nonce = '${'A'.repeat(43)}'; ${print}`, /another nonce/],
    ['a member that is not known', `bundle.more = 1; ${print}`, /cannot be used: .*not known/],
    [
      'other registers',
      `bundle.pcrs = { sha256: { 1: '${'ab'.repeat(32)}' } }; ${print}`,
      /cannot be used: .*no PCR 0/,
    ],
    [
      'no end of output',
      `const more = () => process.stdout.write('x'.repeat(65536), more); more();`,
      /printed more than 131072 bytes/,
    ],
  ];
  for (const [what, lines, words] of failures) {
    it(`is no evidence: ${what} (AG-07)`, async (t) => {
      const { provider } = await program(t, lines);
      await assert.rejects(provider.measure(tpmChallenge(), still), (error: EvidenceProblem) => {
        assert.ok(error instanceof EvidenceProblem, String(error));
        assert.match(error.message, words);
        assert.ok(!error.message.includes('secret words'));
        if (what === 'an exit code') assert.equal(error.said, 'no TPM here');
        return true;
      });
    });
  }

  it('that is not there is no evidence', async () => {
    const provider = createQuoteCommand({
      deviceId: 'lab-1',
      command: ['/nowhere/quote'],
      timeoutMs: 1_000,
      environment: {},
    });
    await assert.rejects(provider.measure(tpmChallenge(), still), /cannot be started \(ENOENT\)/);
  });

  it('keeps no more of its standard error than a log can take', async (t) => {
    const { provider } = await program(
      t,
      `process.stderr.write('x'.repeat(100_000) + 'the end', () => process.exit(1));`,
    );
    await assert.rejects(provider.measure(tpmChallenge(), still), (error: EvidenceProblem) => {
      assert.ok(error.said !== null && error.said.length <= 2048 && error.said.endsWith('the end'));
      return true;
    });
  });

  const child = `const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
writeFileSync(new URL('child.pid', import.meta.url), String(child.pid));`;
  const isGone = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  };
  async function childOf(folder: string): Promise<number> {
    const text = await readFile(join(folder, 'child.pid'), 'utf8').catch(() => '');
    return Number(text);
  }

  it('is killed with its children when it takes too long (AG-07)', async (t) => {
    const { folder, provider } = await program(t, `${child} setInterval(() => {}, 1000);`, { timeoutMs: 1_500 });
    await assert.rejects(provider.measure(tpmChallenge(), still), /took longer than 1\.5 s/);
    const pid = await childOf(folder);
    assert.ok(pid > 1);
    await eventually(() => isGone(pid), 'the child is gone');
  });

  it('is killed with its children when the agent stops', async (t) => {
    const { folder, provider } = await program(t, `${child} setInterval(() => {}, 1000);`);
    const stop = new AbortController();
    const measured = provider.measure(tpmChallenge(), stop.signal);
    const rejected = assert.rejects(measured, /was stopped with the agent/);
    const pid = await eventually(() => childOf(folder), 'a child');
    stop.abort();
    await rejected;
    await eventually(() => isGone(pid), 'the child is gone');
  });

  it('leaves nothing behind when it ends well', async (t) => {
    const { folder, provider } = await program(
      t,
      `${child} process.stdout.write(JSON.stringify(bundle), () => process.exit(0));`,
    );
    await provider.measure(tpmChallenge(), still);
    const pid = await childOf(folder);
    await eventually(() => isGone(pid), 'the child is gone');
  });
});

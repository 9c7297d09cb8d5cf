// A device with a TPM on a whole Sentinel: from its first heartbeat to trusted, out of it once a register has changed, and
// revoked by the authority of its certificate.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ApiProblem } from '#client/api-problem.ts';
import type { Client } from '#client/client.ts';
import type { Device } from '#contracts/http/devices.ts';
import { agentFolder, startAgent, writeIdentity, type RunningAgent } from '#tests/harness/agent.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { requires } from '#tests/harness/requires.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';
import { currentDetails } from '#tests/harness/temporal-ui.ts';
import { startTpm, type Tpm } from '#tests/harness/tpm.ts';
import { forgeAuthority } from '#tests/unit/protocols/certificate-forge.ts';

const collector = fileURLToPath(new URL('../../deploy/tpm/quote-collector.ts', import.meta.url));
const skip = requires('swtpm') || requires('swtpm_setup') || requires('tpm2');
const deviceId = 'tpm-1';
/** Evidence is asked for again well before it is too old. */
const evidenceSeconds = '20';

const sentinel = fileURLToPath(new URL('../../cli/bin.mjs', import.meta.url));
const exampleVerifier = fileURLToPath(new URL('../../deploy/tpm/example-verifier.ts', import.meta.url));

/** Who judges its quotes: we ourselves, or a program of the operator (AT-03). */
const verifiers: Readonly<Record<string, (roots: string) => Record<string, string>>> = {
  'the built-in verifier': () => ({}),
  'a verifier command (AT-03, AT-14)': (roots) => ({
    SENTINEL_TPM_QUOTE_VERIFIER_COMMAND: JSON.stringify([process.execPath, exampleVerifier, '--roots', roots]),
  }),
};

for (const [verifier, settingsFor] of Object.entries(verifiers))
  describe(`a device with a TPM on a running installation, by ${verifier}`, { skip }, () => {
    const cleanup = cleanupAfterAll();
    let stack: Stack;
    let tpm: Tpm;
    let ann: Client;
    let root: Client;
    let agent: RunningAgent;

    before(
      async () => {
        tpm = await startTpm(cleanup);
        const [rootPem = '', issuerPem = ''] = tpm.authorities;
        const roots = join(tpm.folder, 'root.pem');
        await writeFile(roots, rootPem);
        await writeFile(join(tpm.folder, 'chain.pem'), issuerPem);
        const zeros = '00'.repeat(32);
        stack = await startStack(cleanup, {
          SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '1',
          SENTINEL_ATTESTATION_PROVIDER: 'tpm_quote_v1',
          SENTINEL_ATTESTATION_REQUIRED: 'true',
          SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS: evidenceSeconds,
          SENTINEL_ATTESTATION_PCR_BASELINES_JSON: JSON.stringify({ sha256: { '0': [zeros], '7': [zeros] } }),
          SENTINEL_ATTESTATION_REQUIRE_HARDWARE_BINDING: 'true',
          SENTINEL_ATTESTATION_REQUIRE_ENDORSEMENT_CHAIN: 'true',
          SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS: roots,
          ...settingsFor(roots),
        });
        ann = await stack.as('ann');
        root = await stack.as('root');
        const folder = await agentFolder(cleanup);
        await writeIdentity(folder, await stack.ca.issueDevice({ deviceId }), stack.ca.caCertificatePem);
        const config = join(folder, 'config.json');
        const source = {
          device_id: deviceId,
          server_url: stack.instance.api_url,
          server_ca_path: 'ca.crt',
          certificate_path: 'device.crt',
          private_key_path: 'device.key',
          state_path: 'state.json',
          entra_device_id: 'e-1',
          attestation_provider: 'tpm_quote_v1',
          tpm_quote_command: [
            ...[process.execPath, collector, '--folder', join(folder, 'keys')],
            ...['--tcti', tpm.tcti, '--chain', join(tpm.folder, 'chain.pem')],
          ],
        };
        await writeFile(config, JSON.stringify(source), { mode: 0o600 });
        agent = startAgent(cleanup, ['run', '--config', config]);
      },
      { timeout: 240_000 },
    );

    const device = (): Promise<Device> => ann.devices.get(deviceId);
    const deviceWhere = (is: (found: Device) => boolean, what: string): Promise<Device> =>
      eventually(async () => {
        const found = await device();
        return is(found) ? found : null;
      }, what);

    it('proves its key while it waits for approval, so that approvers see it (AT-01, AG-06)', async () => {
      await agent.line(/Waiting for approval/);
      const proven = await deviceWhere(({ attestation }) => attestation.verified_at !== null, 'verified while pending');
      assert.deepEqual([proven.approval_state, proven.trust_tier], ['pending', 'observed']);
      assert.match(proven.hardware_identity ?? '', /^[0-9a-f]{64}$/);
      assert.deepEqual(proven.directory, { entra_device_id: 'e-1' });
    });

    it('is trusted once people have approved device and key, bound to the hardware that it proved (AT-10, AT-15, AG-07)', async () => {
      // The key is part of the enrollment where the actor knew it in time, and a review of its own where it did not.
      const trusted = await eventually(async () => {
        const found = await device();
        if (found.trust_tier === 'trusted') return found;
        const { pending_review: review } = found;
        if (review !== null)
          await ann.devices
            .identityReview(deviceId, { decision: 'approve', digest: review.digest })
            .catch((error: unknown) => {
              if (!(error instanceof ApiProblem)) throw error;
            });
        return null;
      }, 'trusted');
      assert.equal(trusted.attestation.provider, 'tpm_quote_v1');
      assert.notEqual(trusted.hardware_identity, null);
      await agent.line(/trust tier of this device is trusted/);
    });

    it('falls once its manufacturer is taken out, and comes back with it, and nothing is restarted (AT-10)', async () => {
      const rootsFile = join(tpm.folder, 'root.pem');
      const [rootPem = ''] = tpm.authorities;
      const other = await forgeAuthority('Another manufacturer', {
        notBefore: new Date(Date.now() - 86_400_000),
        notAfter: new Date(Date.now() + 86_400_000),
      });
      const replaceRoots = async (pem: string): Promise<void> => {
        await writeFile(`${rootsFile}.next`, pem);
        await rename(`${rootsFile}.next`, rootsFile);
      };
      // A verifier command reads the file by itself, and may be quicker than we are.
      const seen = (changes: number): Promise<true> =>
        eventually(async () => {
          const { items } = await root.audit.list({ action: 'attestation.roots_changed' });
          return items.length === changes || null;
        }, `${changes} changes of the roots`);
      await replaceRoots(other.certificatePem);
      await agent.line(/Heartbeats are refused/);
      await seen(1);
      const { trust_tier, attestation } = await device();
      assert.deepEqual([trust_tier, attestation.state], ['restricted', 'failed']);
      await replaceRoots(rootPem);
      // By API and worker: each of them has to trust it again.
      await deviceWhere((found) => found.trust_tier === 'trusted', 'trusted again');
      await seen(2);
    });

    it('is restricted by the heartbeat whose evidence shows another register, and that is audited (AT-06, HB-11)', async () => {
      await tpm.run('tpm2_pcrextend', `7:sha256=${'11'.repeat(32)}`);
      const refused = await agent.line(/Heartbeats are refused/);
      assert.equal(refused['code'], 'attestation.failed');
      const found = await device();
      assert.equal(found.trust_tier, 'restricted', 'by the very heartbeat that was refused');
      assert.equal(found.attestation.state, 'failed');
      assert.match(found.attestation.reason ?? '', /PCR 7 of the sha256 bank/);
      // Listed once it is sealed.
      await eventually(async () => {
        const { items } = await root.audit.list({ subject_id: deviceId });
        return items.some(
          ({ outcome, details }) => outcome === 'refused' && JSON.stringify(details).includes('pcr_mismatch'),
        );
      }, 'the failure on record');
    });

    /** Types commands of the documentation, as an administrator of this installation; the answer is what they print. */
    const type = async (commands: string): Promise<string> => {
      const script = `sentinel() { "$NODE" "$SENTINEL" "$@"; }\n${commands}`;
      const { stdout } = await promisify(execFile)('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
        env: {
          PATH: process.env.PATH,
          NODE: process.execPath,
          SENTINEL: sentinel,
          SENTINEL_HOME: stack.home,
          SENTINEL_URL: stack.instance.api_url,
          SENTINEL_CA_FILE: stack.instance.ca_file,
          SENTINEL_TOKEN: await stack.token('root'),
        },
      });
      return stdout;
    };

    /** What goes out to other systems about the device. */
    const eventsOut = async (): Promise<readonly string[]> => {
      const owner = await stack.database.connect();
      try {
        await owner.query(`SELECT set_config('sentinel.project', 'default', false)`);
        const { rows } = await owner.query<{ type: string }>(
          'SELECT DISTINCT type FROM outbox_event WHERE subject_id = $1',
          [deviceId],
        );
        return rows.map((row) => row.type);
      } finally {
        owner.release();
      }
    };

    /** Where the actor is looked at by people: what it says of the device there. */
    const inTemporal = async (said: RegExp): Promise<string> => {
      const { workflow } = await device();
      return eventually(async () => {
        const details = await currentDetails(stack, 'root', workflow.id);
        return said.test(details) ? details : null;
      }, `Temporal shows ${said.source}`);
    };

    it('shows in Temporal why its evidence failed (AT-06)', async () => {
      const details = await inTemporal(/evidence failed/);
      assert.match(details, /evidence failed: .*PCR 7 of the sha256 bank/);
    });

    it('is revoked by the list of its authority, and everybody who asks is told so (RV-02)', async () => {
      const [revoke, look] = blocksTypedBy(import.meta.filename).map(({ text }) =>
        text.replaceAll('demo-002', deviceId),
      );
      await type(revoke ?? '');
      const refused = await agent.line(/Heartbeats are refused: .*certificate\.revoked/);
      assert.equal(refused['code'], 'certificate.revoked');
      const found = await deviceWhere(({ trust_tier }) => trust_tier === 'revoked', 'revoked');
      assert.equal(found.approval_state, 'approved', 'what people decided stays as it was');
      const { facts } = await ann.devices.explanation(deviceId);
      assert.ok(
        facts.some(({ reason, decides }) => reason === 'certificate.revoked' && decides),
        JSON.stringify(facts),
      );
      const { items } = await root.audit.list({ subject_id: deviceId, action: 'device.certificate.revoked' });
      assert.match(String(items[0]?.details['reason']), /^listed by revocation list 2 of /);
      const events = await eventsOut();
      for (const event of ['audit.identity.attestation.failed', 'device.certificate.revoked', 'device.trust.updated'])
        assert.ok(events.includes(event), `${event} is among ${events.join(', ')}`);
      const told = await type(look ?? '');
      assert.match(told, /It is revoked\. Its certificate was revoked on .* \(“listed by revocation list 2 of /);
      assert.match(told, /device\.certificate\.revoked/);
      assert.match(await inTemporal(/revoked/), /tier at most \*\*revoked\*\*[^]*, revoked: it is refused for ever/);
    });
  });

// Every example of the reference of the command line, run as it is written there, against an API that has what it names.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { replayVerdict } from '#api/attestation-verdicts.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import {
  aCertificatePlan,
  aDevice,
  anAttestationStatus,
  aHistoryEntry,
  anApproval,
  anAuditEvent,
  anIntegrityReport,
  aPendingDevice,
  aTrustAssertion,
} from '#tests/fakes/api-objects.ts';
import { aVerdict } from '#tests/fakes/stored-verdict.ts';
import { checkpointFileName } from '#store/checkpoint-files.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { fakeTerminal } from '#tests/fakes/fake-terminal.ts';
import { aHome, now, runCommand, type Routes } from './run.ts';

const examples = blocksTypedBy(import.meta.filename).flatMap(({ text }) => text.trimEnd().split('\n'));

/** What stands between pipes, without what a shell makes of the rest. */
const commandsOf = (line: string): string[] =>
  line
    .split(' | ')
    .map((part) => part.replace(/ (<|>>?) .*$/, ''))
    .filter((part) => part.startsWith('sentinel '));

/** As a shell takes words apart, with the quotes that examples use. */
const wordsOf = (command: string): string[] =>
  [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '').slice(1);

/** Watching never ends by itself, and has tests of its own. */
const withoutWatch = (words: readonly string[]): string[] =>
  words.filter((word, at) => word !== '--watch' && !(words[at - 1] === '--watch' && /^\d+$/.test(word)));

const approvalId = '0190b6a0-0000-7000-8000-000000000001';
const listed = (...items: readonly object[]) => ({ body: { items, next_cursor: null } });
const device = (name: string): Routes => {
  const pending = aPendingDevice({ device_id: name });
  const approval = anApproval({ id: pending.pending_review?.id ?? '', digest: pending.pending_review?.digest ?? '' });
  const done = { body: aDevice({ device_id: name }) };
  return {
    [`GET /api/devices/${name}`]: { body: pending },
    [`GET /api/devices/${name}/explanation`]: { body: explanation },
    [`GET /api/devices/${name}/attestation`]: { body: anAttestationStatus() },
    [`GET /api/devices/${name}/attestation/verdicts`]: listed(),
    [`GET /api/devices/${name}/attestation/replay`]: {
      body: { device_id: name, at: now.toISOString(), ...replayVerdict(aVerdict(name)) },
    },
    [`GET /api/devices/${name}/trust-assertion`]: { body: aTrustAssertion() },
    [`GET /api/devices/${name}/history`]: listed(aHistoryEntry()),
    [`GET /api/approvals/${approval.id}`]: { body: approval },
    [`POST /api/devices/${name}/identity-review`]: done,
    [`POST /api/devices/${name}/certificate/revoke`]: done,
    [`POST /api/devices/${name}/reset`]: done,
    [`POST /api/devices/${name}/retire`]: done,
  };
};
const explanation = {
  device_id: 'lab-1',
  trust_tier: 'observed',
  answers: [{ question: 'waiting', standing: 'watch', text: 'For an approver.' }],
  facts: [],
  liveness: { state: 'online', text: 'On time.', last_seen_at: null },
  pending_review: null,
  reason: null,
  settings: [],
  explained_at: now.toISOString(),
};
const routes: Routes = {
  ...device('lab-1'),
  ...device('lab-2'),
  ...device('lab-3'),
  'GET /api/devices': listed(aDevice()),
  'GET /api/approvals': listed(anApproval()),
  [`GET /api/approvals/${approvalId}`]: { body: anApproval({ id: approvalId }) },
  [`POST /api/approvals/${approvalId}/review`]: { body: anApproval({ id: approvalId, state: 'approved' }) },
  'GET /api/certificates': listed(),
  'GET /api/certificates/plan': { body: aCertificatePlan() },
  'GET /api/audit/events': listed(anAuditEvent()),
  'GET /api/audit/integrity': { body: anIntegrityReport() },
  'GET /api/doctor': { body: { items: [], examined: 3, next_cursor: null } },
  'GET /api/health/live': { body: { status: 'ok', version: '1.2.3' } },
  'GET /api/health/ready': { body: { status: 'ok', checks: { temporal: { status: 'ok', detail: 'answers' } } } },
  'GET /api/admin/me': { body: { username: 'ada', roles: ['viewer'], permissions: [] } },
  'GET /api/fleet/counts': {
    body: { matching: 1, trust_tier: { monitored: 1 }, liveness: { online: 1, stale: 0, offline: 0 } },
  },
  'POST /api/admin/login': { body: { token: 'new-token', expires_at: '2026-01-02T12:00:00.000Z', session_id: 's2' } },
  'POST /api/admin/sessions/s1/revoke': { body: {} },
  'POST /api/admin/logout': { body: {} },
};

/** What a person answers whom the command asks; null where nobody is asked. */
function asked(command: string): readonly string[] | null {
  if (/ (device (reject|revoke|reset)|ca revoke)\b/.test(command)) return command.includes(' --yes') ? null : ['lab-1'];
  if (/ device retire\b/.test(command)) return command.includes(' - ') ? [] : ['3 devices'];
  if (/ device approve\b/.test(command)) return ['yes'];
  if (/ approval approve\b/.test(command)) return ['yes'];
  if (/ approval reject\b/.test(command)) return ['lab-1'];
  if (command === 'sentinel login') return ['ada', 'secret'];
  if (command === 'sentinel admin hash-password') return ['secret', 'secret'];
  return null;
}

/** The files that examples name; and of which authority devices are. */
async function prepare(home: string): Promise<Routes> {
  await mkdir(join(home, '.sentinel', 'secrets'), { recursive: true });
  await writeFile(join(home, '.sentinel', 'secrets', 'approver1.password'), 'secret', { mode: 0o600 });
  await writeFile(join(home, '.env'), '', { mode: 0o600 });
  await mkdir(join(home, 'checkpoints'));
  const checkpoint = { payload: { id: approvalId, at: now.toISOString() } };
  const name = checkpointFileName(checkpoint.payload);
  await writeFile(join(home, 'checkpoints', name), JSON.stringify(checkpoint));
  const ca = await createDevelopmentCa(join(home, 'ca'), { clock: systemClock, random: systemRandom });
  await mkdir(join(home, 'lab-1-old'));
  const { certificatePem } = await ca.issueDevice({ deviceId: 'lab-1' });
  await writeFile(join(home, 'lab-1-old', 'device.crt'), certificatePem);
  const certificate = aDevice().certificate;
  assert.ok(certificate);
  return { 'GET /api/devices/lab-1': { body: aDevice({ certificate: { ...certificate, issuer: ca.subject } }) } };
}

/** Those whose outcome depends on a database, or on settings that nobody has made yet; tests of their own run them for real. */
const mayFail = /^sentinel (migrate|preflight)\b/;

describe('the reference of the command line', () => {
  it('has examples of every command but the shortest', () => assert.ok(examples.length >= 40, String(examples.length)));

  for (const line of examples) {
    for (const command of commandsOf(line)) {
      it(`runs: ${command}`, async (t) => {
        const home = await aHome(t);
        const issued = await prepare(home);
        const answers = asked(command);
        const terminal = fakeTerminal({ input: 'lab-1\nlab-2\n', ...(answers === null ? {} : { answers }) });
        const { exit, talk } = await runCommand(t, withoutWatch(wordsOf(command)), {
          home,
          terminal,
          routes: command.includes(' ca revoke ') ? { ...routes, ...issued } : routes,
        });
        if (mayFail.test(command)) assert.notEqual(exit, 2, talk);
        else assert.equal(exit, 0, talk);
      });
    }
  }
});

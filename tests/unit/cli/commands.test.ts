// sentinel audit, ca, status, preflight, and the start of the program.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readSigningKey } from '#agent/attestation/signing-key.ts';
import { fileURLToPath } from 'node:url';
import { parseCertificate } from '#protocols/certificate.ts';
import { isListed, readRevocationLists } from '#protocols/crl.ts';
import { verifyPassword } from '#protocols/password.ts';
import { widthOf } from '#cli/table.ts';
import { aCertificatePlan, aDevice, anApproval, anAuditEvent, anIntegrityReport } from '#tests/fakes/api-objects.ts';
import { fakeTerminal } from '#tests/fakes/fake-terminal.ts';
import { problemAnswer, scriptedApi } from '#tests/fakes/scripted-api.ts';
import { aHome, keepSession, runCommand, type Routes } from './run.ts';

const bin = fileURLToPath(new URL('../../../cli/bin.mjs', import.meta.url));

describe('sentinel audit', () => {
  it('lists events with their filters', async (t) => {
    const { out, seen } = await runCommand(
      t,
      'audit list --subject lab-1 --outcome success --since 2026-01-01 --oldest',
      {
        routes: { 'GET /api/audit/events': { body: { items: [anAuditEvent()], next_cursor: null } } },
      },
    );
    assert.equal(
      decodeURIComponent(seen[0]?.path ?? ''),
      '/api/audit/events?subject_id=lab-1&outcome=success&since=2026-01-01T00:00:00.000Z&order=oldest',
    );
    assert.match(out, /^1\t2026-01-02 03:00:00Z\tdevice\.identity\.approved\tsuccess\tuser approver1\tdevice lab-1/m);
  });

  it('refuses a time that is none', async (t) => {
    assert.equal((await runCommand(t, 'audit list --since yesterday')).exit, 2);
  });

  it('ends with 0 when the trail is valid and 1 when it is broken', async (t) => {
    const valid = await runCommand(t, 'audit verify', {
      routes: { 'GET /api/audit/integrity': { body: anIntegrityReport() } },
    });
    assert.equal(valid.exit, 0);
    const report = anIntegrityReport({ valid: false, first_broken_sequence: 7, reason: 'hash differs' });
    const routes = { 'GET /api/audit/integrity': { body: report } };
    const broken = await runCommand(t, 'audit verify --full', { routes });
    assert.equal(broken.exit, 1);
    assert.equal(broken.seen[0]?.path, '/api/audit/integrity?full=true');
    assert.match(broken.out, /First broken\t7/);
    const json = await runCommand(t, 'audit verify --json', { routes });
    assert.equal(json.exit, 1);
    assert.deepEqual(JSON.parse(json.out), report);
  });
});

describe('sentinel certificate', () => {
  const planned: Routes = { 'GET /api/certificates/plan': { body: aCertificatePlan() } };

  it('plans the rotations: how many end in which week, and how urgent they are (UI-05)', async (t) => {
    const { exit, terminal, talk, seen } = await runCommand(t, 'certificate plan', { routes: planned });
    assert.equal(exit, 0);
    assert.equal(seen[0]?.path, '/api/certificates/plan?by=week');
    assert.deepEqual(terminal.dataLines, [
      'week\tcertificates\trotation required\trecommended',
      'expired\t1\t1\t0',
      '2026-01-02 to 2026-01-04\t4\t4\t0',
      '2026-01-05 to 2026-01-11\t0\t0\t0',
      'from 2026-01-12\t50\t0\t8',
    ]);
    assert.equal(talk, '55 pinned: 1 expired, 12 expiring soon; rotation required for 5, recommended for 8.');
  });

  it('draws the plan in a terminal, however narrow that is', async (t) => {
    for (const columns of [30, 60, 120]) {
      const terminal = fakeTerminal({ columns });
      await runCommand(t, 'certificate plan --by month', { routes: planned, terminal });
      assert.ok(terminal.dataLines.every((line) => widthOf(line) <= columns));
      assert.equal(terminal.dataLines.length, 5);
      assert.equal(terminal.dataLines.join('').includes('█'.repeat(24)), columns === 120);
    }
  });

  it('prints the very object of the API with --json', async (t) => {
    const { out } = await runCommand(t, 'certificate plan --json', { routes: planned });
    assert.deepEqual(JSON.parse(out), aCertificatePlan());
  });

  it('lists what ends in a stretch of time', async (t) => {
    const { seen } = await runCommand(t, 'certificate list --from 2026-12-01 --before 2027-01-01T00:00:00Z', {
      routes: { 'GET /api/certificates': { body: { items: [], next_cursor: null } } },
    });
    assert.equal(
      decodeURIComponent(seen[0]?.path ?? ''),
      '/api/certificates?not_after_from=2026-12-01T00:00:00.000Z&not_after_before=2027-01-01T00:00:00.000Z',
    );
  });

  it('lists what ends first, with its urgency, and passes the filters on (HB-13)', async (t) => {
    const certificate = aDevice().certificate;
    assert.ok(certificate);
    const { out, seen } = await runCommand(
      t,
      'certificate list --rotation required --role pinned --expiring-soon --search lab',
      {
        routes: {
          'GET /api/certificates': {
            body: {
              items: [
                {
                  device_id: 'lab-1',
                  role: 'pinned',
                  ...certificate,
                  rotation: 'required',
                  expired: false,
                  revoked: false,
                  trust_tier: 'monitored',
                },
              ],
              next_cursor: null,
            },
          },
        },
      },
    );
    assert.equal(seen[0]?.path, '/api/certificates?rotation=required&role=pinned&expiring_soon=true&search=lab');
    assert.match(out, /^lab-1\t2026-04-01 00:00:00Z\trotation required\tpinned\tmonitored\t4a\tf{64}$/m);
  });
});

describe('sentinel ca', () => {
  it('issues a device certificate of the authority in this home, and a private key', async (t) => {
    const { exit, home, out } = await runCommand(t, 'ca issue lab:7 --out made --days 3 --json', {});
    assert.equal(exit, 0);
    const read = (name: string) => readFile(join(home, 'made', name), 'utf8');
    const certificate = new X509Certificate(await read('device.crt'));
    assert.equal(certificate.subject, 'CN=lab:7');
    assert.equal(certificate.validToDate.toISOString(), '2026-01-05T03:04:05.000Z');
    assert.ok(certificate.checkPrivateKey(createPrivateKey(await read('device.key'))));
    assert.ok(certificate.verify(new X509Certificate(await read('ca.crt')).publicKey));
    assert.equal(await read('ca.crt'), await readFile(join(home, 'ca', 'ca.crt'), 'utf8'));
    assert.equal((await stat(join(home, 'made', 'device.key'))).mode & 0o777, 0o600);
    assert.equal((JSON.parse(out) as { certificate: string }).certificate, join(home, 'made', 'device.crt'));
  });

  it('writes over an identity only when told to', async (t) => {
    const { home } = await runCommand(t, 'ca issue lab-7 --out made', {});
    const key = await readFile(join(home, 'made', 'device.key'), 'utf8');
    const again = await runCommand(t, 'ca issue lab-7 --out made', { home });
    assert.equal(again.exit, 1);
    assert.match(again.talk, /exists already/);
    assert.equal(await readFile(join(home, 'made', 'device.key'), 'utf8'), key);
    assert.equal((await runCommand(t, 'ca issue lab-7 --out made --force', { home })).exit, 0);
    assert.notEqual(await readFile(join(home, 'made', 'device.key'), 'utf8'), key);
  });

  it('refuses names that no device has', async (t) => {
    for (const words of ['ca issue ../x --out made', 'ca issue lab-1 --out made --days 0', 'ca issue lab-1']) {
      assert.equal((await runCommand(t, words, {})).exit, 2, words);
    }
  });

  describe('revoke', () => {
    /** A home with an authority, and the device `lab-7` with a certificate of it. */
    async function issued(t: TestContext) {
      const { home } = await runCommand(t, 'ca issue lab-7 --out made', {});
      const certificate = new X509Certificate(await readFile(join(home, 'made', 'device.crt'), 'utf8'));
      const authority = parseCertificate(await readFile(join(home, 'ca', 'ca.crt'), 'utf8'));
      const serial = certificate.serialNumber.toLowerCase();
      const pinned = aDevice({ device_id: 'lab-7' }).certificate;
      assert.ok(pinned);
      const routes = (changes: Partial<typeof pinned> | null): Routes => ({
        'GET /api/devices/lab-7': {
          body: aDevice({
            device_id: 'lab-7',
            certificate: changes && { ...pinned, serial_number: serial, issuer: authority.subject, ...changes },
          }),
        },
      });
      const listed = async (): Promise<readonly string[]> => {
        const text = await readFile(join(home, 'ca', 'ca.crl')).catch(() => null);
        const lists = text === null ? [] : readRevocationLists(text, [authority]);
        return lists.some((list) => isListed(list, serial)) ? ['lab-7'] : [];
      };
      return { home, serial, routes, listed };
    }

    it('puts the pinned certificate of a device on the list of the authority (RV-02)', async (t) => {
      const { home, serial, routes, listed } = await issued(t);
      const { exit, out } = await runCommand(t, 'ca revoke lab-7 --yes --json', { home, routes: routes({}) });
      assert.equal(exit, 0);
      const file = join(home, 'ca', 'ca.crl');
      assert.deepEqual(JSON.parse(out), { device_id: 'lab-7', serial_number: serial, file, number: 2 });
      assert.deepEqual(await listed(), ['lab-7']);
    });

    it('takes a certificate that nothing is known of from its file, without a server', async (t) => {
      const { home, listed } = await issued(t);
      const wrong = await runCommand(t, 'ca revoke lab-8 --yes --certificate made/device.crt', {
        home,
        signedIn: false,
      });
      assert.deepEqual([wrong.exit, await listed()], [1, []], 'of another device');
      const missing = await runCommand(t, 'ca revoke lab-7 --yes --certificate made/none.crt', {
        home,
        signedIn: false,
      });
      assert.match(missing.talk, /none\.crt cannot be read/);
      const right = await runCommand(t, 'ca revoke lab-7 --yes --certificate made/device.crt', {
        home,
        signedIn: false,
      });
      assert.deepEqual([right.exit, await listed()], [0, ['lab-7']]);
      assert.match(right.talk, /sentinel device explain lab-7/);
    });

    it('revokes nothing of another authority, and nothing unasked', async (t) => {
      const { home, routes, listed } = await issued(t);
      const foreign = await runCommand(t, 'ca revoke lab-7 --yes', { home, routes: routes({ issuer: 'CN=Another' }) });
      assert.equal(foreign.exit, 1);
      assert.match(foreign.talk, /not of this authority/);
      const none = await runCommand(t, 'ca revoke lab-7 --yes', { home, routes: routes(null) });
      assert.match(none.talk, /no certificate that is pinned/);
      const unasked = await runCommand(t, 'ca revoke lab-7', { home, routes: routes({}) });
      assert.equal(unasked.exit, 2);
      const environment = { SENTINEL_TLS_CA: '/etc/pki/ca.crt' };
      const elsewhere = await runCommand(t, 'ca revoke lab-7 --yes', { home, routes: routes({}), environment });
      assert.match(elsewhere.talk, /SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS/);
      assert.deepEqual(await listed(), []);
    });
  });

  it('makes the pair that an agent signs its measurements with, where the quick start has it (AG-05)', async (t) => {
    const { exit, home } = await runCommand(t, 'ca attestation-key', {});
    assert.equal(exit, 0);
    const folder = join(home, 'deploy', 'certs', 'out');
    const paths = { privatePath: join(folder, 'device_attest.key'), publicPath: join(folder, 'device_attest.pub') };
    await readSigningKey(paths);
    assert.equal((await stat(paths.privatePath)).mode & 0o777, 0o600);
    const before = await readFile(paths.privatePath, 'utf8');
    assert.equal((await runCommand(t, 'ca attestation-key', { home })).exit, 1);
    assert.equal(await readFile(paths.privatePath, 'utf8'), before, 'it is not written over');
    assert.equal((await runCommand(t, 'ca attestation-key --force', { home })).exit, 0);
    await readSigningKey(paths);
    assert.notEqual(await readFile(paths.privatePath, 'utf8'), before);
  });

  it('says where the authority is and how to trust it', async (t) => {
    assert.equal((await runCommand(t, 'ca trust', {})).exit, 1);
    const { home } = await runCommand(t, 'ca issue lab-7 --out made', {});
    const { exit, out, talk } = await runCommand(t, 'ca trust', { home });
    assert.equal(exit, 0);
    assert.equal(out, join(home, 'ca', 'ca.crt'));
    assert.match(talk, /NODE_EXTRA_CA_CERTS/);
  });
});

describe('sentinel status', () => {
  const ready = { status: 'degraded', checks: { temporal: { status: 'degraded', detail: 'no answer' } } };
  const counts = {
    matching: 2,
    trust_tier: { revoked: 0, monitored: 2 },
    liveness: { online: 1, stale: 1, offline: 0 },
  };
  const live = { body: { status: 'ok', version: '1.2.3' } };
  const routes = {
    'GET /api/health/live': live,
    'GET /api/audit/integrity': { body: anIntegrityReport() },
    'GET /api/health/ready': { body: ready },
    'GET /api/admin/me': { body: { username: 'ada', roles: ['viewer'] } },
    'GET /api/health/reasons': problemAnswer(403, 'auth.forbidden'),
    'GET /api/fleet/counts': { body: counts },
    'GET /api/certificates': { body: { items: [], next_cursor: null } },
    'GET /api/approvals': { body: { items: [], next_cursor: null } },
  };

  it('counts devices and approvals, and shows the checks', async (t) => {
    const { exit, out } = await runCommand(t, 'status', { routes });
    assert.equal(exit, 0);
    assert.match(out, /Devices\t2, 2 monitored\n {2}liveness\t1 online, 1 stale\n/);
    assert.match(out, /temporal\tdegraded\tno answer/);
  });

  it('says why a part is not well to who may know', async (t) => {
    const { out } = await runCommand(t, 'status', {
      routes: { ...routes, 'GET /api/health/reasons': { body: { reasons: { temporal: 'ECONNREFUSED' } } } },
    });
    assert.match(out, /^temporal\tdegraded\tno answer\. Why: ECONNREFUSED\t/m);
  });

  it('says how to mend a part, whom approvals await, which certificates expire, and how the trail is', async (t) => {
    const ends = '2026-01-05T03:04:05.000Z';
    const expiring = { ...aDevice().certificate, device_id: 'lab-9', expired: false, not_after: ends };
    const { out } = await runCommand(t, 'status', {
      routes: {
        ...routes,
        'GET /api/certificates': { body: { items: [expiring], next_cursor: null } },
        'GET /api/approvals': { body: { items: [anApproval()], next_cursor: null } },
      },
    });
    assert.match(out, /^Sentinel\t1\.2\.3 at http/);
    assert.match(out, /^temporal\tdegraded\tno answer\tSee whether the Temporal server runs/m);
    assert.match(out, /^Certificates\t1 expire soon\n\tlab-9 expires 2026-01-05/m);
    assert.match(out, /^lab-1\tenrollment\t0\/1\tapprover, security, admin\t/m);
    assert.match(out, /^Audit\tvalid, \d+ events sealed, 0 not sealed yet$/m);
  });

  it('fits a terminal of 80 columns and 24 rows', async (t) => {
    const terminal = fakeTerminal({ columns: 80, rows: 24 });
    await runCommand(t, 'status', {
      terminal,
      routes: { ...routes, 'GET /api/approvals': { body: { items: [anApproval()], next_cursor: null } } },
    });
    assert.ok(terminal.dataLines.length <= 24);
    for (const line of terminal.dataLines) assert.ok(line.length <= 80, line);
  });

  it('leaves out what this person may not see, and keeps the rest', async (t) => {
    const { exit, out } = await runCommand(t, 'status', {
      routes: { ...routes, 'GET /api/audit/integrity': problemAnswer(403, 'auth.forbidden') },
    });
    assert.equal(exit, 0);
    assert.match(out, /Devices\t2/);
    assert.doesNotMatch(out, /^Audit/m);
  });

  it('stops counting after some pages', async (t) => {
    const endless = { 'GET /api/approvals': { body: { items: [anApproval()], next_cursor: 'next' } } };
    const { out, seen } = await runCommand(t, 'status', { routes: { ...routes, ...endless } });
    assert.match(out, /Open approvals\tmore than 4/);
    assert.equal(seen.filter(({ path }) => path.startsWith('/api/approvals')).length, 4);
  });

  it('works without a sign-in, and ends with 1 when the installation is not ready', async (t) => {
    const body = { status: 'failed', checks: { database: { status: 'failed', detail: 'no connection' } } };
    const { exit, out, talk } = await runCommand(t, 'status', {
      routes: { 'GET /api/health/live': live, 'GET /api/health/ready': { status: 503, body } },
      signedIn: false,
    });
    assert.equal(exit, 1);
    assert.match(out, /database\tfailed\tno connection/);
    assert.match(talk, /sentinel login/);
  });

  it('never prints what signs in', async (t) => {
    const home = await aHome(t);
    const instance = {
      api_url: 'https://localhost:1',
      console_url: 'https://localhost:1/',
      temporal_ui_url: 'https://localhost:1/temporal/',
      ca_file: 'ca.crt',
      database_url: 'postgres://owner:secret@localhost/sentinel',
      admin_password_file: 'admin.password',
      pids: { api: 1 },
    };
    await writeFile(join(home, 'instance.json'), JSON.stringify(instance));
    for (const words of ['status', 'status --json']) {
      const { out, talk } = await runCommand(t, words, { routes, home });
      assert.doesNotMatch(out + talk, /secret|password|kept-token/);
    }
  });

  it('says that the sign-in has ended', async (t) => {
    const ended = { ...routes, 'GET /api/admin/me': problemAnswer(401, 'auth.session_ended') };
    const { exit, talk } = await runCommand(t, 'status', { routes: ended });
    assert.equal(exit, 1);
    assert.match(talk, /Sign in with: sentinel login/);
  });
});

describe('sentinel preflight', () => {
  it('ends with 1 when a setting is refused, and names it', async (t) => {
    const home = await aHome(t);
    await writeFile(join(home, 'settings.env'), 'SENTINEL_PORT=many\n');
    const { exit, out } = await runCommand(t, 'preflight --production --env-file settings.env --json', { home });
    assert.equal(exit, 1);
    const { passed, findings } = JSON.parse(out) as { passed: boolean; findings: { setting: string }[] };
    assert.equal(passed, false);
    assert.ok(findings.some(({ setting }) => setting === 'SENTINEL_PORT'));
  });
});

describe('sentinel --json', () => {
  it('says what was wrong with a call as an object too', async (t) => {
    for (const words of ['device show --json', 'device list --tier best --json', 'devise list --json']) {
      const { exit, talk, out } = await runCommand(t, words);
      assert.equal(exit, 2, words);
      assert.equal(out, '');
      const { error } = JSON.parse(talk) as { error: { message: string; advice: string } };
      assert.match(error.message, /argument|unknown/);
      assert.match(error.advice, /--help/);
    }
  });
});

describe('sentinel as a program', () => {
  const run = (script: string, args: readonly string[]) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      execFile(process.execPath, [script, ...args], { timeout: 20_000 }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      });
    });

  it('starts from plain JavaScript and passes the exit code on', async () => {
    const [help, wrong] = await Promise.all([run(bin, ['--help']), run(bin, ['nonsense'])]);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /Usage: sentinel/);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /unknown command/);
    assert.equal(wrong.stdout, '');
  });

  it('ends with 0 when a watch is interrupted', async (t) => {
    const api = await scriptedApi(t, () => ({ body: aDevice() }));
    const home = await aHome(t);
    await keepSession(home, { url: api.url, expires_at: '2999-01-01T00:00:00.000Z' });
    const child = spawn(process.execPath, [bin, 'device', 'show', 'lab-1', '--watch'], {
      env: { SENTINEL_HOME: home, SENTINEL_URL: api.url },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('says what to do when the packages are missing', async (t) => {
    const root = await aHome(t);
    await mkdir(join(root, 'cli'));
    await copyFile(bin, join(root, 'cli', 'bin.mjs'));
    const { code, stderr } = await run(join(root, 'cli', 'bin.mjs'), ['status']);
    assert.equal(code, 1);
    assert.match(stderr, /Run npm start once/);
  });
});

describe('sentinel migrate and sentinel admin', () => {
  it('says what to do when there is no database', async (t) => {
    const { exit, talk } = await runCommand(t, 'migrate', { environment: { SENTINEL_DATABASE_URL: '' } });
    assert.equal(exit, 1);
    assert.match(talk, /SENTINEL_DATABASE_URL/);
  });

  it('hashes the password on standard input, without its last line break', async (t) => {
    const terminal = fakeTerminal({ input: 'correct horse\n' });
    const { exit, out } = await runCommand(t, 'admin hash-password', { terminal });
    assert.equal(exit, 0);
    assert.match(out, /^\$argon2id\$/);
    assert.ok((await verifyPassword(out, 'correct horse')).valid);
  });

  it('hashes nothing that is no password', async (t) => {
    for (const input of ['', '\n', 'two\nlines\n', 'x'.repeat(1025)]) {
      const { exit, out } = await runCommand(t, 'admin hash-password', { terminal: fakeTerminal({ input }) });
      assert.equal(exit, 2);
      assert.equal(out, '');
    }
  });

  it('asks a person twice', async (t) => {
    const differ = fakeTerminal({ answers: ['one', 'other'] });
    assert.equal((await runCommand(t, 'admin hash-password', { terminal: differ })).exit, 1);
    const same = fakeTerminal({ answers: ['one', 'one'] });
    assert.equal((await runCommand(t, 'admin hash-password', { terminal: same })).exit, 0);
  });
});

// sentinel device and sentinel approval: what is shown, what is asked, what is sent.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  aDevice,
  aHistoryEntry,
  anApproval,
  anAttestationStatus,
  approvalId,
  aPendingDevice,
  aTrustAssertion,
} from '#tests/fakes/api-objects.ts';
import { widthOf } from '#cli/table.ts';
import { fakeTerminal } from '#tests/fakes/fake-terminal.ts';
import { problemAnswer } from '#tests/fakes/scripted-api.ts';
import { runCommand, type Routes } from './run.ts';

const device = aDevice();
const pending = aPendingDevice();
const approval = anApproval();
const review: Routes = {
  'GET /api/devices/lab-1': { body: pending },
  [`GET /api/approvals/${approvalId}`]: { body: approval },
  'POST /api/devices/lab-1/identity-review': { body: device },
  [`POST /api/approvals/${approvalId}/review`]: { body: anApproval({ state: 'approved' }) },
};
const posts = (seen: readonly { method: string }[]) => seen.filter(({ method }) => method === 'POST');

describe('sentinel device list', () => {
  const page = { items: [device, aPendingDevice({ device_id: 'lab-2' })], next_cursor: null };

  it('prints the very object of the API with --json', async (t) => {
    const { exit, out } = await runCommand(t, 'device list --json', {
      routes: { 'GET /api/devices': { body: { ...page, next_cursor: 'next' } } },
    });
    assert.equal(exit, 0);
    assert.deepEqual(JSON.parse(out), { ...page, next_cursor: 'next' });
  });

  it('prints tab-separated rows into a pipe', async (t) => {
    const { terminal } = await runCommand(t, 'device list', { routes: { 'GET /api/devices': { body: page } } });
    assert.deepEqual(terminal.dataLines, [
      'device\tidentity\ttier\tliveness\tlast seen\thost\tplatform\treview',
      'lab-1\tapproved\tmonitored\tonline\t2026-01-02 03:04:00Z\tlab-1.example\tlinux\t',
      'lab-2\tpending\tobserved\tonline\t2026-01-02 03:04:00Z\tlab-1.example\tlinux\tenrollment 0/1',
    ]);
  });

  it('fits its table into the terminal', async (t) => {
    const wide = aDevice({ device_id: 'x'.repeat(64), hostname: 'y'.repeat(200) });
    for (const columns of [50, 60, 80, 120, 200]) {
      const terminal = fakeTerminal({ columns });
      await runCommand(t, 'device list', {
        terminal,
        routes: { 'GET /api/devices': { body: { items: [wide, pending], next_cursor: null } } },
      });
      assert.equal(terminal.dataLines.length, 3);
      for (const line of terminal.dataLines) assert.ok(line.length <= columns, `${line.length} in ${columns}: ${line}`);
    }
  });

  it('does without the least important columns in a narrow terminal, and cuts no id short', async (t) => {
    const routes = {
      'GET /api/devices': { body: { items: [aDevice({ device_id: 'x'.repeat(30) })], next_cursor: null } },
    };
    const heads = await Promise.all(
      [60, 80, 200].map(async (columns) => {
        const { terminal } = await runCommand(t, 'device list', { terminal: fakeTerminal({ columns }), routes });
        assert.match(terminal.dataLines[1] ?? '', /^x{30} /);
        return terminal.dataLines[0]?.split(/ {2,}/).map((name) => name.toLowerCase());
      }),
    );
    assert.deepEqual(heads, [
      ['device', 'identity', 'tier', 'liveness'],
      ['device', 'identity', 'tier', 'liveness', 'last seen'],
      ['device', 'identity', 'tier', 'liveness', 'last seen', 'host', 'platform', 'review'],
    ]);
  });

  it('counts the characters of East Asia as two columns', async (t) => {
    const items = [aDevice({ hostname: '東京の研究室' }), aDevice({ hostname: 'plain' })];
    for (const columns of [80, 140]) {
      const terminal = fakeTerminal({ columns });
      await runCommand(t, 'device list', {
        terminal,
        routes: { 'GET /api/devices': { body: { items, next_cursor: null } } },
      });
      const [, first = '', second = ''] = terminal.dataLines;
      const columnOf = (line: string, text: string) => widthOf(line.slice(0, line.indexOf(text)));
      assert.equal(columnOf(first, 'linux'), columnOf(second, 'linux'));
      for (const line of terminal.dataLines) assert.ok(widthOf(line) <= columns);
    }
  });

  it('prints ids only with --quiet', async (t) => {
    const { out } = await runCommand(t, 'device list --quiet', { routes: { 'GET /api/devices': { body: page } } });
    assert.equal(out, 'lab-1\nlab-2');
  });

  it('walks as many pages as a limit takes', async (t) => {
    const thousand = Array.from({ length: 500 }, () => device);
    const { seen, out } = await runCommand(t, 'device list --limit 700 --quiet', {
      routes: {
        'GET /api/devices': (index) => ({ body: { items: thousand.slice(0, index ? 200 : 500), next_cursor: 'c' } }),
      },
    });
    assert.deepEqual(
      seen.map(({ path }) => path),
      ['/api/devices?limit=500', '/api/devices?limit=200&cursor=c'],
    );
    assert.equal(out.split('\n').length, 700);
  });

  it('says how far it is when the pages take longer than a second', async (t) => {
    const terminal = fakeTerminal({ columns: 80 });
    const pages = [
      { body: { items: [device], next_cursor: 'second' } },
      { body: { items: [pending], next_cursor: null } },
    ];
    await runCommand(t, 'device list --all', {
      terminal,
      pause: async () => undefined,
      routes: { 'GET /api/devices': (index) => pages[index] ?? {} },
    });
    assert.deepEqual(terminal.progressLines, ['Reading …', 'Reading … 2', null]);
  });

  it('sends its filters', async (t) => {
    const { seen } = await runCommand(t, 'device list --tier restricted --pending --search lab --limit 7', {
      routes: { 'GET /api/devices': { body: page } },
    });
    assert.equal(seen[0]?.path, '/api/devices?limit=7&trust_tier=restricted&search=lab&pending_review=true');
  });

  it('walks every page with --all', async (t) => {
    const pages = [
      { body: { items: [device], next_cursor: 'second' } },
      { body: { items: [pending], next_cursor: null } },
    ];
    const { out, seen } = await runCommand(t, 'device list --all --json', {
      routes: { 'GET /api/devices': (index) => pages[index] ?? {} },
    });
    assert.deepEqual(JSON.parse(out), { items: [device, pending], next_cursor: null });
    assert.deepEqual(
      seen.map(({ path }) => path),
      ['/api/devices?limit=500', '/api/devices?limit=500&cursor=second'],
    );
  });

  it('says how to go on when there is more', async (t) => {
    const { talk } = await runCommand(t, 'device list', {
      routes: { 'GET /api/devices': { body: { ...page, next_cursor: 'next' } } },
    });
    assert.match(talk, /--cursor next/);
  });

  it('shows control characters that a device reports, and never sends them to the terminal', async (t) => {
    const evil = aDevice({ hostname: 'a\u001b]0;owned\u0007\u202e\nb', platform: '\u009b31m' });
    for (const words of ['device list', 'device show lab-1', 'device list --json']) {
      for (const columns of [undefined, 200]) {
        const terminal = fakeTerminal(columns === undefined ? {} : { columns });
        const { out } = await runCommand(t, words, {
          terminal,
          routes: {
            'GET /api/devices': { body: { items: [evil], next_cursor: null } },
            'GET /api/devices/lab-1': { body: evil },
          },
        });
        assert.doesNotMatch(out.replaceAll('\n', '').replaceAll('\t', ''), /[\p{Cc}\p{Cf}]/u);
        assert.match(out, /owned/);
        if (words.endsWith('--json')) assert.deepEqual(JSON.parse(out), { items: [evil], next_cursor: null });
      }
    }
  });
});

describe('sentinel device show and history', () => {
  it('shows what is known, and leaves out what is not', async (t) => {
    const { out } = await runCommand(t, 'device show lab-1', {
      routes: { 'GET /api/devices/lab-1': { body: pending } },
    });
    assert.match(out, /Trust tier\tobserved/);
    assert.match(out, /digest\td{64}/);
    assert.match(out, /fingerprint\tf{64}/);
    assert.doesNotMatch(out, /Hardware|Reason|Bound/);
  });

  it('shows why evidence does not count, and the key and hardware that people have approved (AT-15)', async (t) => {
    const failed = aDevice({
      attestation: {
        state: 'failed',
        provider: 'tpm_quote_v1',
        verified_at: '2026-01-02T03:00:00.000Z',
        reason: 'Register 7 differs',
      },
      hardware_identity: 'cd',
    });
    const status = anAttestationStatus();
    const routes = {
      'GET /api/devices/lab-1': { body: failed },
      'GET /api/devices/lab-1/attestation': { body: status },
    };
    const { out } = await runCommand(t, 'device show lab-1', { routes });
    assert.match(out, /reason\tRegister 7 differs/);
    assert.match(out, /Bound key\tab\nBound hardware\tcd/);
    const unbound = await runCommand(t, 'device show lab-1', {
      routes: { ...routes, 'GET /api/devices/lab-1/attestation': { body: { ...status, binding: null } } },
    });
    assert.match(unbound.out, /Hardware, not approved\tcd/);
    assert.doesNotMatch(unbound.out, /Bound/);
    const { out: json } = await runCommand(t, 'device show lab-1 --json', { routes });
    assert.deepEqual(JSON.parse(json), failed);
  });

  it('says what approving a key and its hardware does', async (t) => {
    const hardware = anApproval({ kind: 'hardware', content: { attestation: { key_id: 'ab', binding_id: 'cd' } } });
    const { out } = await runCommand(t, `approval show ${approvalId}`, {
      routes: { [`GET /api/approvals/${approvalId}`]: { body: hardware } },
    });
    assert.match(out, /Asks\tBind the device to this attestation key and hardware/);
    assert.match(out, /attestation\.key_id\tab/);
    assert.match(out, /attestation\.binding_id\tcd/);
  });

  it('gives the workflow as an address to open, as the API said it with --json, and its id once it is gone', async (t) => {
    const link = '/temporal/namespaces/default/workflows/device%2Fdefault%2Flab-1';
    for (const [words, route, item] of [
      ['device show lab-1', 'GET /api/devices/lab-1', pending],
      [`approval show ${approvalId}`, `GET /api/approvals/${approvalId}`, approval],
    ] as const) {
      const shown = async (url: string | null, more = '') => {
        const body = { ...item, workflow: { ...item.workflow, url } };
        return runCommand(t, `${words}${more}`, { routes: { [route]: { body } } });
      };
      const { out, url } = await shown(link);
      assert.ok(out.includes(`Workflow\t${url}${link}`), out);
      assert.ok((await shown('https://temporal.example/w/1')).out.includes('Workflow\thttps://temporal.example/w/1'));
      assert.ok((await shown(null)).out.includes(`Workflow\t${item.workflow.id}`));
      const object = JSON.parse((await shown(link, ' --json')).out) as typeof item;
      assert.equal(object.workflow.url, link);
    }
  });

  it('explains a tier: what decides, and what would change it', async (t) => {
    const explanation = {
      device_id: 'lab-1',
      trust_tier: 'observed',
      answers: [{ question: 'waiting', standing: 'watch', text: 'For an approver.' }],
      facts: [
        {
          reason: 'identity.pending',
          text: 'Nobody yet.',
          at_most: 'observed',
          decides: true,
          change: 'People approve.',
        },
        { reason: 'attestation.not_required', text: 'None.', at_most: 'monitored', decides: false, change: null },
      ],
      liveness: { state: 'online', text: 'On time.', last_seen_at: null },
      pending_review: pending.pending_review,
      reason: null,
      settings: [],
      explained_at: '2026-11-22T12:00:00.000Z',
    };
    const { exit, out } = await runCommand(t, 'device explain lab-1', {
      routes: { 'GET /api/devices/lab-1/explanation': { body: explanation } },
    });
    assert.equal(exit, 0);
    assert.match(out, /Trust tier\tobserved/);
    assert.match(out, /^yes\tobserved\tNobody yet\.\tPeople approve\.$/m);
    assert.match(out, /^\tmonitored\tNone\.\t$/m);
  });

  it('lists what happened', async (t) => {
    const { out } = await runCommand(t, 'device history lab-1', {
      routes: { 'GET /api/devices/lab-1/history': { body: { items: [aHistoryEntry()], next_cursor: null } } },
    });
    assert.match(out, /^1\.2\t2026-01-02 03:00:00Z\tidentity\.approved\tuser approver1\tpending\tapproved$/m);
  });
});

describe('a vote', () => {
  it('approves exactly the digest that was shown', async (t) => {
    const { exit, out, seen } = await runCommand(t, 'device approve lab-1 --reason known', { routes: review });
    assert.equal(exit, 0);
    assert.match(out, /Digest\td{64}/);
    assert.deepEqual(
      posts(seen).map((request) => request),
      [seen.at(-1)],
    );
    assert.deepEqual(seen.at(-1)?.body, { decision: 'approve', digest: approval.digest, reason: 'known' });
  });

  it('shows every value that is up for approval', async (t) => {
    const content = {
      certificate: { fingerprint_sha256: 'f', validity: { not_after: 'late' } },
      tags: ['a'],
      host: null,
    };
    const { out } = await runCommand(t, `approval show ${approvalId}`, {
      routes: { [`GET /api/approvals/${approvalId}`]: { body: anApproval({ content }) } },
    });
    assert.match(out, /certificate\.fingerprint_sha256\tf\n/);
    assert.match(out, /certificate\.validity\.not_after\tlate\n/);
    assert.match(out, /tags\t\["a"\]\n[^]*host\tnull\n/);
  });

  it('sends the digest that a script saw earlier instead', async (t) => {
    const { seen } = await runCommand(t, 'approval approve ID --digest e'.replace('ID', approvalId), {
      routes: review,
    });
    assert.deepEqual(seen.at(-1)?.body, { decision: 'approve', digest: 'e' });
  });

  it('asks a person before it approves', async (t) => {
    const no = fakeTerminal({ answers: ['no'] });
    const refused = await runCommand(t, 'device approve lab-1', { routes: review, terminal: no });
    assert.equal(refused.exit, 1);
    assert.equal(posts(refused.seen).length, 0);
    const yes = fakeTerminal({ answers: ['yes'] });
    const done = await runCommand(t, 'device approve lab-1', { routes: review, terminal: yes });
    assert.equal(done.exit, 0);
    assert.equal(posts(done.seen).length, 1);
  });

  it('asks for the name before it rejects, and does nothing under another name', async (t) => {
    for (const [answer, exit, sent] of [
      ['lab-2', 1, 0],
      ['lab-1', 0, 1],
    ] as const) {
      const terminal = fakeTerminal({ answers: [answer] });
      const result = await runCommand(t, 'device reject lab-1', { routes: review, terminal });
      assert.equal(result.exit, exit);
      assert.equal(posts(result.seen).length, sent);
    }
  });

  it('does not reject when nobody can be asked, unless told --yes', async (t) => {
    const refused = await runCommand(t, `approval reject ${approvalId}`, { routes: review });
    assert.equal(refused.exit, 2);
    assert.match(refused.talk, /--yes/);
    assert.equal(posts(refused.seen).length, 0);
    const done = await runCommand(t, `approval reject ${approvalId} --yes`, { routes: review });
    assert.equal(done.exit, 0);
    assert.deepEqual(done.seen.at(-1)?.body, { decision: 'reject', digest: approval.digest });
  });

  it('says so when nothing waits for review', async (t) => {
    const { exit, talk } = await runCommand(t, 'device approve lab-1', {
      routes: { 'GET /api/devices/lab-1': { body: device } },
    });
    assert.equal(exit, 1);
    assert.match(talk, /Nothing about lab-1 waits/);
  });

  it('waits for the review of a device that was heard a moment ago, for ten seconds at most', async (t) => {
    const early = { ...pending, pending_review: null };
    for (const [opensAt, exit, looks] of [
      [3, 0, 3],
      [Number.POSITIVE_INFINITY, 1, 40],
    ] as const) {
      const waits: number[] = [];
      const shown: Routes = {
        ...review,
        'GET /api/devices/lab-1': () => ({ body: waits.length + 1 >= opensAt ? pending : early }),
      };
      const { exit: ended, seen } = await runCommand(t, 'device approve lab-1', {
        routes: shown,
        // The other pause is how long a person waits before progress is shown.
        pause: async (ms) => (ms === 250 ? void waits.push(ms) : new Promise(() => undefined)),
      });
      assert.equal(ended, exit);
      assert.equal(seen.filter(({ method, path }) => method === 'GET' && path === '/api/devices/lab-1').length, looks);
      assert.equal(waits.length, looks - 1);
    }
  });

  it('prints only the object after the vote with --json', async (t) => {
    const { out } = await runCommand(t, 'device approve lab-1 --json', { routes: review });
    assert.deepEqual(JSON.parse(out), device);
  });

  it('says what happened, what to do and the request id when the vote is refused', async (t) => {
    const routes = { ...review, 'POST /api/devices/lab-1/identity-review': problemAnswer(409, 'review.changed') };
    const { exit, talk } = await runCommand(t, 'device approve lab-1', { routes });
    assert.equal(exit, 1);
    assert.deepEqual(talk.split('\n'), [
      'error: A title',
      '  A detail',
      '  → Look at the review again and vote on its present digest.',
      '  (review.changed, request req-1)',
    ]);
  });
});

describe('sentinel device revoke, reset and retire', () => {
  const routes: Routes = {
    'GET /api/devices/lab-1': { body: device },
    'POST /api/devices/lab-1/certificate/revoke': { body: aDevice({ trust_tier: 'revoked' }) },
    'POST /api/devices/lab-1/reset': { body: pending },
    'POST /api/devices/lab-1/retire': { body: aDevice({ retired: true }) },
  };

  it('refuse when nobody can be asked', async (t) => {
    for (const act of ['revoke', 'reset', 'retire']) {
      const { exit, seen } = await runCommand(t, `device ${act} lab-1`, { routes });
      assert.equal(exit, 2, act);
      assert.equal(posts(seen).length, 0, act);
    }
  });

  it('ask for the name of the device', async (t) => {
    for (const act of ['revoke', 'reset', 'retire']) {
      const wrong = await runCommand(t, `device ${act} lab-1`, {
        routes,
        terminal: fakeTerminal({ answers: ['LAB-1'] }),
      });
      assert.equal(wrong.exit, 1, act);
      assert.equal(posts(wrong.seen).length, 0, act);
      const right = await runCommand(t, `device ${act} lab-1`, {
        routes,
        terminal: fakeTerminal({ answers: ['lab-1'] }),
      });
      assert.equal(right.exit, 0, act);
      assert.equal(posts(right.seen).length, 1, act);
    }
  });

  it('revoke the certificate that was shown', async (t) => {
    const terminal = fakeTerminal({ answers: ['lab-1'] });
    const { seen } = await runCommand(t, 'device revoke lab-1 --reason lost', { routes, terminal });
    assert.deepEqual(seen.at(-1)?.body, { reason: 'lost', fingerprint_sha256: 'f'.repeat(64) });
  });

  it('act on several devices, tell of each, and fail when one of them did', async (t) => {
    const several = { ...routes, 'POST /api/devices/lab-2/retire': problemAnswer(409, 'review.changed') };
    const { exit, talk, seen } = await runCommand(t, 'device retire lab-2 lab-1 lab-1 --yes', { routes: several });
    assert.equal(exit, 1);
    assert.deepEqual(
      posts(seen).map((request) => request),
      seen,
    );
    assert.equal(seen.length, 2);
    assert.match(talk, /^lab-2: error: A title$/m);
    assert.match(talk, /^lab-1 is retired, tier monitored\.$/m);
    assert.match(talk, /^error: 1 of 2 devices/m);
    const json = await runCommand(t, 'device retire lab-2 lab-1 --yes --json', { routes: several });
    const { items } = JSON.parse(json.out) as {
      items: { id: string; result: unknown; error: { code: string } | null }[];
    };
    assert.deepEqual(
      items.map(({ id, result, error }) => [id, result !== null, error?.code]),
      [
        ['lab-2', false, 'review.changed'],
        ['lab-1', true, undefined],
      ],
    );
  });

  it('stop at a refusal that the next device would meet too', async (t) => {
    const { exit, seen } = await runCommand(t, 'device retire lab-1 lab-2 --yes', {
      routes: { 'POST /api/devices/lab-1/retire': problemAnswer(403, 'auth.forbidden') },
    });
    assert.equal(exit, 1);
    assert.equal(seen.length, 1);
  });

  it('ask once for several, and read ids from standard input', async (t) => {
    const both: Routes = { ...routes, 'GET /api/devices/lab-2': { body: aDevice({ device_id: 'lab-2' }) } };
    const terminal = fakeTerminal({ answers: ['2 devicez'], input: 'lab-1\nlab-2\n' });
    const wrong = await runCommand(t, 'device retire -', { routes: both, terminal });
    assert.equal(wrong.exit, 1);
    assert.equal(posts(wrong.seen).length, 0);
    const none = await runCommand(t, 'device retire - --yes', {
      routes: both,
      terminal: fakeTerminal({ input: '\n' }),
    });
    assert.equal(none.exit, 2);
    assert.equal((await runCommand(t, 'device retire lab-1 ../x --yes', { routes: both })).seen.length, 0);
  });

  it('say what would be done with --dry-run, and do nothing', async (t) => {
    const { exit, out, seen } = await runCommand(t, 'device reset lab-1 --dry-run', { routes });
    assert.equal(exit, 0);
    assert.equal(out, 'would reset lab-1; it is approved, tier monitored');
    assert.equal(posts(seen).length, 0);
  });

  it('act at once with --yes', async (t) => {
    const { exit, seen, talk } = await runCommand(t, 'device revoke lab-1 --yes', { routes });
    assert.equal(exit, 0);
    assert.deepEqual(
      seen.map(({ method }) => method),
      ['POST'],
    );
    assert.match(talk, /tier revoked/);
  });
});

describe('sentinel approval list', () => {
  it('lists what is open, unless told otherwise', async (t) => {
    const routes = { 'GET /api/approvals': { body: { items: [approval], next_cursor: null } } };
    const open = await runCommand(t, 'approval list', { routes });
    assert.equal(open.seen[0]?.path, '/api/approvals?state=open');
    assert.match(open.out, /enrollment\tlab-1\topen\t0\/1/);
    const any = await runCommand(t, 'approval list --state any --kind enrollment --subject lab-1', { routes });
    assert.equal(any.seen[0]?.path, '/api/approvals?kind=enrollment&subject_id=lab-1');
  });
});

describe('sentinel device assert', () => {
  const minted = aTrustAssertion({ audience: 'vpn' });
  const routes: Routes = { 'GET /api/devices/lab-1/trust-assertion': { body: minted } };

  it('prints the assertion alone, for a script, and says beside it what it says (TF-04)', async (t) => {
    const { exit, terminal, talk, seen } = await runCommand(t, 'device assert lab-1 --audience vpn', { routes });
    assert.equal(exit, 0);
    assert.deepEqual(terminal.dataLines, [minted.assertion]);
    assert.equal(talk, 'lab-1 is monitored, for vpn, until 2026-01-02 03:05:05Z.');
    assert.equal(seen[0]?.path, '/api/devices/lab-1/trust-assertion?audience=vpn');
  });

  it('prints the very object of the API with --json', async (t) => {
    const { out } = await runCommand(t, 'device assert lab-1 --audience vpn --json', { routes });
    assert.deepEqual(JSON.parse(out), minted);
  });

  it('names no audience by itself', async (t) => {
    const { exit, seen } = await runCommand(t, 'device assert lab-1', { routes });
    assert.deepEqual([exit, seen.length], [2, 0]);
  });

  it('says which setting has the audiences when this one is not among them (TF-06)', async (t) => {
    const { exit, talk } = await runCommand(t, 'device assert lab-1 --audience mail', {
      routes: {
        'GET /api/devices/lab-1/trust-assertion': problemAnswer(403, 'assertion.audience_refused'),
      },
    });
    assert.equal(exit, 1);
    assert.match(talk, /SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES/);
  });
});

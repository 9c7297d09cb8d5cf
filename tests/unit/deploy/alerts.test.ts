// The alert rules in Prometheus' own evaluation: each fires when what it is about lasts, and not when that is over soon.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { programPath, requires } from '#tests/harness/requires.ts';

const rulesFile = fileURLToPath(new URL('../../../deploy/prometheus/alerts.yml', import.meta.url));

/** Of one series: its name with labels, and its values minute by minute in Prometheus' notation. */
type Series = readonly (readonly [name: string, values: string])[];

interface Case {
  /** Fires at that minute, and not a minute and a half before what it waits for is over. */
  readonly fires: { readonly series: Series; readonly at: number; readonly notYetAt?: number };
  /** Never fires. */
  readonly calm: Series;
  /** Of what fires, beside the severity. */
  readonly labels?: Readonly<Record<string, string>>;
}

const api = 'job="sentinel-api",instance="a"';
const worker = 'job="sentinel-worker",instance="w"';
const requests = (status: number): string => `sentinel_http_request_duration_seconds_count{${api},status="${status}"}`;
const minutes = 40;

const cases: Readonly<Record<string, Case>> = {
  SentinelProcessDown: {
    fires: { series: [[`up{${worker}}`, '1x5 0x40']], at: 9, notYetAt: 7 },
    calm: [
      [`up{${worker}}`, '1x5 0 1x40'],
      ['up{job="another"}', '0x40'],
    ],
    labels: { job: 'sentinel-worker', instance: 'w' },
  },
  SentinelShedsHeartbeats: {
    fires: {
      series: [[`sentinel_heartbeats_shed_total{${api},reason="share"}`, '0+60x40']],
      at: 20,
      notYetAt: 9,
    },
    calm: [[`sentinel_heartbeats_shed_total{${api},reason="share"}`, '0+60x4 240x40']],
    labels: { job: 'sentinel-api', instance: 'a', reason: 'share' },
  },
  SentinelAnswers5xx: {
    fires: {
      series: [
        [requests(200), '0+970x40'],
        [requests(503), '0+30x40'],
      ],
      at: 10,
      notYetAt: 4,
    },
    calm: [
      [requests(200), '0+995x40'],
      [requests(503), '0+5x40'],
      // Refusals are no failures.
      [requests(403), '0+900x40'],
    ],
  },
  SentinelNewsWaits: {
    fires: { series: [[`sentinel_news_waiting{${api}}`, '0x5 3x40']], at: 17, notYetAt: 14 },
    calm: [[`sentinel_news_waiting{${api}}`, '0x5 1000x8 0x40']],
  },
  SentinelActorsStandStill: {
    fires: { series: [[`sentinel_stuck_actors{${api}}`, '1x40']], at: 11, notYetAt: 9 },
    calm: [[`sentinel_stuck_actors{${api}}`, '1x8 0x40']],
  },
  SentinelCommitsFenced: {
    fires: {
      series: [[`sentinel_commits_total{${worker},kind="device",result="fenced"}`, '0x10 0+2x40']],
      at: 20,
      notYetAt: 13,
    },
    calm: [
      [`sentinel_commits_total{${worker},kind="device",result="fenced"}`, '0x10 3x40'],
      [`sentinel_commits_total{${worker},kind="device",result="committed"}`, '0+900x40'],
    ],
  },
  SentinelCommitsFail: {
    fires: {
      series: [[`sentinel_commits_total{${worker},kind="device",result="failed"}`, '0+30x40']],
      at: 10,
      notYetAt: 4,
    },
    calm: [
      [`sentinel_commits_total{${worker},kind="device",result="failed"}`, '0x10 20x40'],
      [`sentinel_commits_total{${worker},kind="device",result="duplicate"}`, '0+900x40'],
    ],
  },
  SentinelSealingLags: {
    fires: { series: [[`sentinel_seal_lag_seconds{${api}}`, '0x5 90x40']], at: 8, notYetAt: 5 },
    calm: [[`sentinel_seal_lag_seconds{${api}}`, '0x5 90 0x40']],
  },
  SentinelSealingFails: {
    fires: { series: [['sentinel_seal_failures_total{job="sentinel-sealer"}', '0+3x40']], at: 5, notYetAt: 2 },
    calm: [['sentinel_seal_failures_total{job="sentinel-sealer"}', '7x40']],
  },
  SentinelApprovalWaits: {
    fires: {
      series: [
        [`sentinel_approval_oldest_seconds{${api},kind="enrollment"}`, '86000+60x40'],
        [`sentinel_approval_oldest_seconds{${api},kind="rotation"}`, '0x40'],
      ],
      at: 10,
      notYetAt: 5,
    },
    calm: [[`sentinel_approval_oldest_seconds{${api},kind="enrollment"}`, '80000+60x40']],
    labels: { kind: 'enrollment' },
  },
  SentinelIdentitiesRefused: {
    fires: {
      series: [
        [`sentinel_identity_refusals_total{${api},code="certificate.untrusted"}`, '0+400x40'],
        [`sentinel_identity_refusals_total{${api},code="heartbeat.replayed"}`, '0+400x40'],
      ],
      at: 10,
      notYetAt: 4,
    },
    calm: [[`sentinel_identity_refusals_total{${api},code="certificate.untrusted"}`, '0+400x40']],
  },
  SentinelSignInsRefused: {
    fires: {
      series: [
        [`sentinel_sign_ins_total{${api},outcome="auth.invalid_credentials"}`, '0+20x40'],
        [`sentinel_sign_ins_total{${api},outcome="rate.limited"}`, '0+20x40'],
      ],
      at: 10,
      notYetAt: 4,
    },
    calm: [
      [`sentinel_sign_ins_total{${api},outcome="success"}`, '0+900x40'],
      [`sentinel_sign_ins_total{${api},outcome="auth.invalid_credentials"}`, '0+5x40'],
    ],
  },
  SentinelAuditWritesFail: {
    fires: { series: [[`sentinel_audit_write_failures_total{${api}}`, '0x5 1x40']], at: 6, notYetAt: 5 },
    calm: [[`sentinel_audit_write_failures_total{${api}}`, '4x40']],
  },
  SentinelDatabaseConnectionsUsedUp: {
    fires: {
      series: [[`sentinel_database_connections{${api},state="waiting"}`, '2x40']],
      at: 6,
      notYetAt: 4,
    },
    calm: [
      [`sentinel_database_connections{${api},state="waiting"}`, '0x5 2x3 0x40'],
      [`sentinel_database_connections{${api},state="busy"}`, '10x40'],
    ],
    labels: { job: 'sentinel-api', instance: 'a' },
  },
  SentinelProcessBusy: {
    fires: { series: [[`sentinel_event_loop_utilization{${worker}}`, '0.97x40']], at: 11, notYetAt: 9 },
    calm: [[`sentinel_event_loop_utilization{${worker}}`, '0.97x8 0.5x40']],
    labels: { job: 'sentinel-worker', instance: 'w' },
  },
  SentinelCertificateEnds: {
    fires: {
      series: [[`sentinel_tls_certificate_expiry_seconds{${api}}`, `${14 * 86_400 + 330}-60x40`]],
      at: 6,
      notYetAt: 5,
    },
    calm: [[`sentinel_tls_certificate_expiry_seconds{${api}}`, `${15 * 86_400}x40`]],
  },
};

interface Rule {
  readonly name: string;
  readonly severity: string;
  readonly annotations: Readonly<Record<string, string>>;
}

async function readRules(): Promise<Rule[]> {
  const text = await readFile(rulesFile, 'utf8');
  return text
    .split(/^ {6}- alert: /m)
    .slice(1)
    .map((rule) => ({
      name: /^\w+/.exec(rule)?.[0] ?? '',
      severity: /severity: (\w+)/.exec(rule)?.[1] ?? '',
      annotations: {
        summary: /summary: '(.+)'/.exec(rule)?.[1] ?? '',
        runbook_url: /runbook_url: (\S+)/.exec(rule)?.[1] ?? '',
      },
    }));
}

describe('the alert rules, evaluated', { skip: requires('promtool') }, () => {
  it('each fire when it lasts, not before that, and not when all is well (HM-03)', async (t) => {
    const rules = await readRules();
    assert.deepEqual(rules.map(({ name }) => name).toSorted(), Object.keys(cases).toSorted());
    const folder = await mkdtemp(join(tmpdir(), 'sentinel-alerts-'));
    t.after(() => rm(folder, { recursive: true, force: true }));

    const tests = rules.flatMap(({ name, severity, annotations }) => {
      const { fires, calm, labels = {} } = cases[name] as Case;
      const said = (text: string): string =>
        text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? '');
      const firing = {
        exp_labels: { severity, ...labels },
        exp_annotations: Object.fromEntries(Object.entries(annotations).map(([key, text]) => [key, said(text)])),
      };
      const at = (minute: number, expected: readonly object[]) => ({
        eval_time: `${minute}m`,
        alertname: name,
        exp_alerts: expected,
      });
      const given = (all: Series) => all.map(([series, values]) => ({ series, values }));
      return [
        {
          name: `${name} fires`,
          interval: '1m',
          input_series: given(fires.series),
          alert_rule_test: [...(fires.notYetAt === undefined ? [] : [at(fires.notYetAt, [])]), at(fires.at, [firing])],
        },
        {
          name: `${name} stays calm`,
          interval: '1m',
          input_series: given(calm),
          alert_rule_test: Array.from({ length: minutes }, (_, minute) => at(minute, [])),
        },
      ];
    });
    // JSON is YAML.
    const file = join(folder, 'alerts.test.yml');
    await writeFile(file, JSON.stringify({ rule_files: [rulesFile], evaluation_interval: '1m', tests }));
    const output = await new Promise<string>((resolve) =>
      execFile(programPath('promtool'), ['test', 'rules', file], { timeout: 50_000 }, (error, stdout, stderr) =>
        resolve(error === null ? '' : `${stdout}${stderr}`),
      ),
    );
    assert.equal(output, '');
  });
});

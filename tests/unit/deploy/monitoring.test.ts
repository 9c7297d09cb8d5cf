// The dashboard and the alert rules name only metrics, labels and runbooks that there are.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { libraryMetrics, metrics, type MetricRow } from '#contracts/metrics.ts';

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: object;
  readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
  readonly options?: { readonly legend: object };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
const dashboard = JSON.parse(read('deploy/grafana/sentinel.json')) as { uid: string; panels: Panel[] };
const rules = read('deploy/prometheus/alerts.yml')
  .split(/^ {6}- alert: /m)
  .slice(1)
  .map((text) => ({
    name: /^(\w+)$/m.exec(text)?.[1] ?? '',
    expr: /^ {8}expr: '(.+)'$/m.exec(text)?.[1]?.replaceAll("''", "'") ?? '',
    severity: /^ {10}severity: (\w+)$/m.exec(text)?.[1] ?? '',
    anchor: /^ {10}runbook_url: \/docs\/runbooks\/#(.+)$/m.exec(text)?.[1] ?? '',
  }));

/** Names of Prometheus itself, which every scrape has. */
const own = new Set(['up']);

function metricsIn(expr: string): string[] {
  return [...expr.matchAll(/\b(?:sentinel|temporal|nodejs|process)_\w+|\bup\b/g)].map(([name]) => name);
}

/** The row of a series: histograms have three for each. */
function rowOf(series: string): Partial<MetricRow> | null {
  const all: Readonly<Record<string, Partial<MetricRow>>> = { ...metrics, ...libraryMetrics };
  if (Object.hasOwn(all, series)) return all[series] ?? null;
  const name = series.replace(/_(bucket|sum|count)$/, '');
  return name !== series && all[name]?.kind === 'histogram' ? (all[name] ?? null) : null;
}

/** What is wrong with an expression. */
function faultsOf(expr: string): string[] {
  const names = metricsIn(expr);
  const unknown = names.filter((name) => !own.has(name) && rowOf(name) === null);
  const labels = new Set(['le', 'job', 'instance', 'workflow_type', 'activity_type']);
  for (const name of names) for (const label of rowOf(name)?.labels ?? []) labels.add(label);
  const used = [
    ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',').map((label) => label.trim())),
    ...[...expr.matchAll(/[{,]\s*(\w+)\s*(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label),
  ];
  return [
    ...(names.length === 0 ? ['names no metric'] : []),
    ...unknown.map((name) => `no metric ${name}`),
    ...used.filter((label) => !labels.has(label)).map((label) => `no label ${label}`),
  ];
}

describe('the dashboard', () => {
  const targets = dashboard.panels.flatMap(({ title, targets: found = [] }) =>
    found.map((target) => ({ title, ...target })),
  );

  it('names only metrics and labels that there are (HM-03)', () => {
    assert.ok(targets.length > 20);
    for (const { title, expr } of targets) assert.deepEqual(faultsOf(expr), [], `${title}: ${expr}`);
  });

  it('shows each metric of the table that something can be done about', () => {
    const shown = new Set(
      targets.flatMap(({ expr }) => metricsIn(expr)).map((name) => name.replace(/_(bucket|sum|count)$/, '')),
    );
    const alerted = new Set(rules.flatMap(({ expr }) => metricsIn(expr)));
    const left = Object.keys(metrics).filter((name) => !shown.has(name) && !alerted.has(name));
    assert.deepEqual(left, [
      'sentinel_info',
      'sentinel_database_connections_limit',
      'sentinel_pruned_rows_total',
      'sentinel_seal_batch_duration_seconds',
      'sentinel_checkpoints_signed_total',
    ]);
  });

  it('names in each legend only labels that its expression leaves', () => {
    for (const { title, expr, legendFormat } of targets) {
      const left = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
      const isWhole = /^\w+$/.test(expr);
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        assert.ok(left.includes(label) || (isWhole && ['job', 'instance'].includes(label)), `${title}: ${label}`);
      // What has many series says which is which.
      for (const label of left.filter((one) => one !== 'le' && !expr.startsWith('max by')))
        assert.ok(legendFormat.includes(`{{${label}}}`), `${title} does not say ${label}`);
    }
  });

  it('has panels that say which unit, which data source and which series they show, as Grafana takes it', () => {
    const units = new Set(['s', 'short', 'ops', 'reqps', 'percentunit', 'bytes']);
    for (const { type, title, datasource, fieldConfig, options } of dashboard.panels) {
      if (type === 'row') continue;
      assert.equal(type, 'timeseries', title);
      assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' }, title);
      assert.ok(units.has(fieldConfig?.defaults.unit ?? ''), title);
      assert.deepEqual(
        options?.legend,
        { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] },
        title,
      );
    }
  });

  it('has panels that do not lie over each other, each with a number of its own', () => {
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    for (const [i, { gridPos: a, title }] of dashboard.panels.entries()) {
      assert.ok(a.x + a.w <= 24, title);
      for (const { gridPos: b } of dashboard.panels.slice(i + 1))
        assert.ok(a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y, title);
    }
  });
});

describe('the alert rules', () => {
  const headings = [...read('docs/runbooks.md').matchAll(/^## (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );

  it('name only metrics and labels that there are (HM-03)', () => {
    assert.ok(rules.length > 10);
    for (const { name, expr } of rules) assert.deepEqual(faultsOf(expr), [], `${name}: ${expr}`);
  });

  it('each lead to a runbook, and stand on the page of operations with it', () => {
    const page = read('docs/operations.md');
    for (const { name, anchor, severity } of rules) {
      assert.ok(headings.includes(anchor), `${name} leads to ${anchor}`);
      assert.ok(['info', 'warning', 'critical'].includes(severity), name);
      assert.ok(page.includes(`[\`${name}\`](runbooks.md#${anchor}) | ${severity} |`), `${name} on the page`);
    }
  });

  it('would not pass with a metric, a label or a runbook that is not there', () => {
    assert.deepEqual(faultsOf('rate(sentinel_heartbeat_total[5m]) > 0'), ['no metric sentinel_heartbeat_total']);
    assert.deepEqual(faultsOf('sum by (device) (sentinel_devices)'), ['no label device']);
    assert.deepEqual(faultsOf('sentinel_devices{name="a"}'), ['no label name']);
    assert.deepEqual(faultsOf('1 > 0'), ['names no metric']);
  });
});

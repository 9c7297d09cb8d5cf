// GET /api/audit/export: the trail as a file, filtered like the list, written page by page so that its size is no matter.
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { AuditExportQuery, type AuditEvent } from '#contracts/http/audit.ts';
import { TrustError } from '#contracts/problems.ts';
import type { AuditFilter } from '#store/audit.ts';
import { presentAuditEvent, type AuditDeps } from './audit.ts';
import { projectOf } from './projects.ts';

export interface AuditExportDeps extends Pick<AuditDeps, 'listAudit'> {
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal;
  /** How much one file holds and how many are written at a time. */
  readonly limits?: {
    readonly events: number;
    readonly page: number;
    readonly atOnce: number;
    /** Whoever reads more slowly than this is cut off, so that nobody keeps the others waiting. */
    readonly longestMs: number;
  };
}

const defaultLimits = { events: 1_000_000, page: 500, atOnce: 4, longestMs: 600_000 };

type CsvColumn = readonly [name: string, value: (event: AuditEvent) => string];

const csvColumns: readonly CsvColumn[] = [
  ['sequence', ({ sequence }) => String(sequence)],
  ['occurred_at', ({ occurred_at }) => occurred_at],
  ['category', ({ category }) => category],
  ['action', ({ action }) => action],
  ['actor_kind', ({ actor }) => actor.kind],
  ['actor_id', ({ actor }) => actor.id],
  ['actor_ip', ({ actor }) => actor.ip ?? ''],
  ['subject_kind', ({ subject }) => subject.kind],
  ['subject_id', ({ subject }) => subject.id],
  ['outcome', ({ outcome }) => outcome],
  ['details', ({ details }) => JSON.stringify(details)],
  ['request_id', ({ request_id }) => request_id ?? ''],
  ['previous_hash', ({ previous_hash }) => previous_hash],
  ['hash', ({ hash }) => hash],
];

const formats = {
  jsonl: {
    type: 'application/jsonl; charset=utf-8',
    head: '',
    line: (event: AuditEvent) => `${JSON.stringify(event)}\n`,
  },
  csv: {
    type: 'text/csv; charset=utf-8; header=present',
    head: `${csvColumns.map(([name]) => name).join(',')}\r\n`,
    line: (event: AuditEvent) => `${csvColumns.map(([, value]) => csvCell(value(event))).join(',')}\r\n`,
  },
} as const;

/** RFC 4180, and nothing that a spreadsheet would take for a formula. */
function csvCell(text: string): string {
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

export const auditExportRoutes: FastifyPluginAsyncTypebox<AuditExportDeps> = async (app, deps) => {
  const limits = deps.limits ?? defaultLimits;
  let open = 0;

  app.get(
    '/api/audit/export',
    {
      config: { access: 'audit.read', deadline: 'own' },
      schema: {
        operationId: 'exportAuditEvents',
        tags: ['audit'],
        summary: `Audit events as a file, JSON lines or CSV; at most ${limits.events} events, go on with since or until`,
        querystring: AuditExportQuery,
        produces: ['application/jsonl', 'text/csv'],
        response: { 200: Type.Unsafe<Readable>({ type: 'string' }) },
      },
    },
    async (request, reply) => {
      const project = projectOf(request);
      const { format = 'jsonl', ...filter } = request.query;
      if (open >= limits.atOnce) {
        throw new TrustError('rate.limited', {
          detail: 'Other exports are being written',
          facts: { retry_after_seconds: 10 },
        });
      }
      open += 1;
      const ended = new AbortController();
      const stop = AbortSignal.any([ended.signal, deps.stopping, AbortSignal.timeout(limits.longestMs)]);
      const stream = Readable.from(write(project, filter, format, stop), { signal: stop });
      reply.raw.once('close', () => ended.abort());
      stream.once('close', () => (open -= 1));
      return reply
        .type(formats[format].type)
        .header('content-disposition', `attachment; filename="audit-${project}.${format}"`)
        .header('cache-control', 'no-store')
        .send(stream);
    },
  );

  /** What fails half-way breaks the connection, so that a part never looks like the whole. */
  async function* write(
    project: string,
    filter: AuditFilter,
    format: keyof typeof formats,
    stop: AbortSignal,
  ): AsyncGenerator<string> {
    const { head, line } = formats[format];
    if (head !== '') yield head;
    let after: number | null = null;
    for (let left = limits.events; left > 0 && !stop.aborted;) {
      const limit = Math.min(limits.page, left);
      const rows = await deps.listAudit(project, filter, { limit, after });
      if (rows.length > 0) yield rows.map((row) => line(presentAuditEvent(row))).join('');
      if (rows.length < limit) return;
      left -= rows.length;
      after = rows.at(-1)?.sequence ?? null;
    }
    if (stop.aborted) throw new TrustError('service.unavailable');
  }
};

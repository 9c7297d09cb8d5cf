// /api/audit: the audit trail, and whether it is whole.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { IntegrityReport } from '#contracts/audit.ts';
import { AuditList, AuditListQuery, Integrity, IntegrityQuery, type AuditEvent } from '#contracts/http/audit.ts';
import type { AuditFilter, SealedAuditEvent } from '#store/audit.ts';
import type { Cursors } from './cursors.ts';
import { filterOf, readPage, type Page } from './pages.ts';
import { projectOf } from './projects.ts';

export interface AuditDeps {
  readonly listAudit: (
    project: string,
    filter: AuditFilter,
    page: Page<number>,
  ) => Promise<readonly SealedAuditEvent[]>;
  /** Asks the sealer to seal what waits, and then verifies the chain. */
  readonly verify: (project: string, options: { full: boolean }) => Promise<IntegrityReport>;
  readonly cursors: Cursors;
}

/** The whole chain of a long life may take a while. */
const verifyTimeoutMs = 120_000;

export const auditRoutes: FastifyPluginAsyncTypebox<AuditDeps> = async (app, { listAudit, verify, cursors }) => {
  app.get(
    '/api/audit/events',
    {
      config: { access: 'audit.read' },
      schema: {
        operationId: 'listAuditEvents',
        tags: ['audit'],
        summary: 'Audit events by their sequence, newest first unless asked otherwise',
        querystring: AuditListQuery,
        response: { 200: AuditList },
      },
    },
    async (request) => {
      const project = projectOf(request);
      const filter = filterOf(request.query);
      const { rows, next_cursor } = await readPage(
        cursors,
        ['audit', project, filter],
        request.query,
        (page: Page<number>) => listAudit(project, filter, page),
        ({ sequence }) => sequence,
      );
      return { items: rows.map(presentAuditEvent), next_cursor };
    },
  );

  app.get(
    '/api/audit/integrity',
    {
      config: { access: 'audit.verify' },
      handlerTimeout: verifyTimeoutMs,
      schema: {
        operationId: 'verifyAudit',
        tags: ['audit'],
        summary: 'Verify the audit trail from the last checkpoint, or with full=true from the start',
        querystring: IntegrityQuery,
        response: { 200: Integrity },
      },
    },
    async (request) => ({ ...(await verify(projectOf(request), { full: request.query.full ?? false })) }),
  );
};

export function presentAuditEvent(row: SealedAuditEvent): AuditEvent {
  return {
    sequence: row.sequence,
    occurred_at: row.occurred_at,
    category: row.category as AuditEvent['category'],
    action: row.action,
    actor: { kind: row.actor_kind as AuditEvent['actor']['kind'], id: row.actor_id, ip: row.actor_ip },
    subject: { kind: row.subject_kind, id: row.subject_id },
    outcome: row.outcome as AuditEvent['outcome'],
    details: { ...row.details },
    previous_hash: row.previous_hash,
    hash: row.hash,
    request_id: row.request_id,
  };
}

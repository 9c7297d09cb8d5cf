// What each route of the running router answers to nobody, to each role, and about another project; and how to list the routes.
import type { Role } from '#contracts/permissions.ts';
import { password } from '#tests/fakes/api-over-fakes.ts';
import { reviewId } from '#tests/fakes/fake-registry.ts';

export type Caller = 'nobody' | Role;
/** Statuses for: nobody, viewer, operator, approver, security, admin; and for the admin acting in another project. */
export type Row = readonly [number, number, number, number, number, number, number];

const reader: Row = [401, 200, 200, 200, 200, 200, 200];
const readerOfOne: Row = [401, 200, 200, 200, 200, 200, 404];
const reviewer: Row = [401, 403, 403, 200, 200, 200, 404];
const open: Row = [200, 200, 200, 200, 200, 200, 200];

export const matrix: Readonly<Record<string, Row>> = {
  'POST /api/heartbeat': [401, 401, 401, 401, 401, 401, 401],
  'GET /api/devices': reader,
  'GET /api/fleet/counts': reader,
  'GET /api/devices/:device_id': readerOfOne,
  'GET /api/devices/:device_id/explanation': readerOfOne,
  'GET /api/devices/:device_id/timeline': readerOfOne,
  'GET /api/devices/:device_id/history': readerOfOne,
  'GET /api/devices/:device_id/attestation': readerOfOne,
  'GET /api/devices/:device_id/attestation/verdicts': readerOfOne,
  'GET /api/devices/:device_id/attestation/replay': readerOfOne,
  'GET /api/devices/:device_id/trust-assertion': [401, 403, 403, 403, 403, 200, 404],
  'GET /.well-known/jwks.json': open,
  'POST /api/devices/:device_id/identity-review': reviewer,
  'POST /api/devices/:device_id/certificate/revoke': [401, 403, 403, 403, 200, 200, 404],
  'POST /api/devices/:device_id/reset': [401, 403, 403, 403, 200, 200, 404],
  'POST /api/devices/:device_id/retire': [401, 403, 200, 403, 200, 200, 404],
  'GET /api/certificates': reader,
  'GET /api/certificates/plan': reader,
  'GET /api/saved-filters': reader,
  'PUT /api/saved-filters/:name': reader,
  'DELETE /api/saved-filters/:name': [401, 204, 204, 204, 204, 204, 404],
  'GET /api/approvals': reader,
  'GET /api/approvals/:id': readerOfOne,
  'POST /api/approvals/:id/review': reviewer,
  'GET /api/audit/events': reader,
  'GET /api/audit/export': reader,
  'GET /api/audit/integrity': reader,
  'GET /api/doctor': [401, 403, 200, 200, 200, 200, 200],
  'POST /api/doctor/heal': [401, 403, 403, 403, 403, 200, 200],
  'GET /api/events/stream': reader,
  'POST /api/admin/login': open,
  'POST /api/admin/logout': reader,
  'GET /api/admin/me': reader,
  'GET /api/admin/sessions': reader,
  'POST /api/admin/sessions/:session_id/revoke': [401, 403, 403, 403, 200, 200, 200],
  'GET /api/health/live': open,
  'GET /api/health/ready': open,
  // nobody, viewer, operator, approver, security, admin, admin elsewhere
  'GET /api/health/reasons': [401, 403, 200, 403, 200, 200, 200],
  'GET /api/metrics': open,
  'GET /api/openapi.json': open,
  'GET /api/docs': open,
  'GET /api/docs/reference.js': open,
  'POST /api/temporal/codec/decode': [401, 403, 200, 200, 200, 200, 200],
  'GET /temporal/render': [401, 403, 200, 200, 200, 200, 200],
  ...Object.fromEntries(
    ['/temporal', '/temporal/', '/temporal/*'].flatMap((url): [string, Row][] => [
      [`GET ${url}`, [401, 403, 200, 200, 200, 200, 200]],
      ...['POST', 'PUT', 'PATCH', 'DELETE'].map((method): [string, Row] => [
        `${method} ${url}`,
        [401, 403, 403, 403, 403, 200, 200],
      ]),
    ]),
  ),
  'GET /docs': [308, 308, 308, 308, 308, 308, 308],
  'GET /docs/': open,
  'GET /docs/*': open,
  'GET *': open,
};

/** Routes that are not asked for the head of their answer alone: what they do would be done for nobody. */
export const withEffect: readonly string[] = ['GET /api/devices/:device_id/trust-assertion'];

export const bodies: Readonly<Record<string, object>> = {
  'POST /api/heartbeat': { device_id: 'device-1', heartbeat_counter: 1 },
  'POST /api/admin/login': { username: 'viewer', password },
  'POST /api/devices/:device_id/identity-review': { decision: 'approve' },
  'POST /api/doctor/heal': { subjects: [{ kind: 'device', id: 'device-1' }] },
  'PUT /api/saved-filters/:name': { query: { liveness: 'stale' } },
  'POST /api/approvals/:id/review': { decision: 'approve' },
  'POST /api/temporal/codec/decode': { payloads: [] },
};

/** @param sessionId that exists */
export function addressOf(pattern: string, sessionId: string): string {
  return pattern
    .replace(/^\*$/, '/dashboard')
    .replace('*', 'page')
    .replace(/trust-assertion$/, 'trust-assertion?audience=demo')
    .replace(':device_id', pattern.endsWith('/identity-review') ? 'pending-1' : 'device-1')
    .replace(':session_id', sessionId)
    .replace(':id', reviewId)
    .replace(':name', 'mine');
}

/** Reads the drawing of the router: four columns for each level. */
export function routesOf(drawing: string): string[] {
  const above: string[] = [];
  return drawing.split('\n').flatMap((line) => {
    const [, indent = '', part = '', methods = ''] = /^([│ ]*)[├└]── (\S+)(?: \(([A-Z, ]+)\))?$/.exec(line) ?? [];
    if (part === '') return [];
    const depth = indent.length / 4;
    above.splice(depth, above.length, `${above[depth - 1] ?? ''}${part}`);
    return methods === '' ? [] : methods.split(', ').map((method) => `${method} ${above[depth]}`);
  });
}

// Sealed audit events and outbox events in memory.
import type { AuditDeps } from '#api/audit.ts';
import type { EventsDeps, SealedEvent } from '#api/events.ts';
import type { IntegrityReport } from '#contracts/audit.ts';
import type { SealedAuditEvent } from '#store/audit.ts';

export const wholeTrail: IntegrityReport = {
  valid: true,
  checked: 2,
  verified_from: 1,
  head_sequence: 2,
  unsealed: 0,
  checkpoint: null,
  first_broken_sequence: null,
  reason: null,
};

export function fakeEvents() {
  const trail: SealedAuditEvent[] = [];
  const outbox = new Map<string, SealedEvent[]>();
  const wakes = new Set<() => void>();
  const verified: { project: string; full: boolean }[] = [];
  const of = (project: string) => outbox.get(project) ?? [];

  const feed: Pick<EventsDeps, 'readEvents' | 'lastSequence' | 'onSealed'> = {
    readEvents: async (project, after, limit) =>
      of(project)
        .filter(({ sequence }) => sequence > after)
        .slice(0, limit),
    lastSequence: async (project) => of(project).length,
    onSealed(wake) {
      wakes.add(wake);
      return () => wakes.delete(wake);
    },
  };
  const listAudit: AuditDeps['listAudit'] = async (project, { order, action }, { limit, after }) => {
    const own = trail.filter((event) => event.project_id === project && (action ?? event.action) === event.action);
    const ordered = order === 'oldest' ? own : own.toReversed();
    const rest = ordered.filter(
      ({ sequence }) => after === null || (order === 'oldest' ? sequence > after : sequence < after),
    );
    return rest.slice(0, limit);
  };

  return {
    trail,
    wakes,
    verified,
    feed,
    listAudit,
    async verify(project: string, { full }: { full: boolean }) {
      verified.push({ project, full });
      return wholeTrail;
    },
    publish(project: string, event: Omit<SealedEvent, 'sequence'>) {
      const own = of(project);
      outbox.set(project, [...own, { ...event, sequence: own.length + 1 }]);
      for (const wake of wakes) wake();
    },
  };
}

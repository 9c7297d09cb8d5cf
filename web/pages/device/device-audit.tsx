// The audit events about one device.
import { IconHistoryOff } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useBarrier, useServices } from '../../data/services.tsx';
import { AuditTable } from '../../parts/audit-table.tsx';
import { Loading, Nothing, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import { Barrier } from '../../parts/barrier.tsx';
import classes from './device-review.module.css';

const limit = 50;

export function DeviceAudit({ deviceId }: { readonly deviceId: string }) {
  const { queries } = useServices();
  const barrier = useBarrier('audit.read');
  const query = { subject_kind: 'device', subject_id: deviceId } as const;
  const events = useQuery({
    ...queries.audit({ ...query, limit, order: 'newest' }),
    enabled: barrier === null,
  });
  if (barrier !== null) return <Barrier text={barrier} />;
  return (
    <Panel
      title="Audit events about this device"
      flush
      actions={
        <span className={classes['actions']}>
          <Link to="/audit" search={query}>
            In the audit trail
          </Link>
        </span>
      }
    >
      {events.isPending && <Loading rows={5} label="Reading the audit events" />}
      {events.error !== null && <ProblemAlert error={events.error} onRetry={() => void events.refetch()} />}
      {events.data !== undefined && events.data.items.length === 0 && (
        <Nothing icon={IconHistoryOff} title="No events yet">
          What people do to this device, and what it is refused, is written here.
        </Nothing>
      )}
      {events.data !== undefined && events.data.items.length > 0 && (
        <AuditTable events={events.data.items} caption="Audit events about this device" />
      )}
    </Panel>
  );
}

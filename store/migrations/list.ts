// Every migration in its order. One that was released is never changed: what it made is in somebody's database.
import type { MigrationObject } from '@mikro-orm/core';
import { Actors } from './actors.ts';
import { Attestation } from './attestation.ts';
import { AttestationSweeps } from './attestation-sweeps.ts';
import { AuditTrail } from './audit-trail.ts';
import { CertificateExpiry } from './certificate-expiry.ts';
import { DeviceTimeline } from './device-timeline.ts';
import { Devices } from './devices.ts';
import { EventProjects } from './event-projects.ts';
import { HeardRevocations } from './heard-revocations.ts';
import { FailedEvidence } from './failed-evidence.ts';
import { FleetLists } from './fleet-lists.ts';
import { HeartbeatPath } from './heartbeat-path.ts';
import { HeartbeatPlan } from './heartbeat-plan.ts';
import { People } from './people.ts';
import { Reconciling } from './reconciling.ts';
import { Restores } from './restores.ts';
import { SavedFilters } from './saved-filters.ts';
import { SteadyHeartbeats } from './steady-heartbeats.ts';
import { Tenancy } from './tenancy.ts';
import { UnrecordedEvidence } from './unrecorded-evidence.ts';
import { WaitingNews } from './waiting-news.ts';

export const migrations = [
  { name: '0001-tenancy', class: Tenancy },
  { name: '0002-devices', class: Devices },
  { name: '0003-actors', class: Actors },
  { name: '0004-people', class: People },
  { name: '0005-audit-trail', class: AuditTrail },
  { name: '0006-heartbeat-path', class: HeartbeatPath },
  { name: '0007-reconciling', class: Reconciling },
  { name: '0008-heard-revocations', class: HeardRevocations },
  { name: '0009-certificate-expiry', class: CertificateExpiry },
  { name: '0010-fleet-lists', class: FleetLists },
  { name: '0011-saved-filters', class: SavedFilters },
  { name: '0012-event-projects', class: EventProjects },
  { name: '0013-device-timeline', class: DeviceTimeline },
  { name: '0014-waiting-news', class: WaitingNews },
  { name: '0015-heartbeat-plan', class: HeartbeatPlan },
  { name: '0016-restores', class: Restores },
  { name: '0017-attestation', class: Attestation },
  { name: '0018-steady-heartbeats', class: SteadyHeartbeats },
  { name: '0019-attestation-sweeps', class: AttestationSweeps },
  { name: '0020-failed-evidence', class: FailedEvidence },
  { name: '0021-unrecorded-evidence', class: UnrecordedEvidence },
] as const satisfies readonly MigrationObject[];

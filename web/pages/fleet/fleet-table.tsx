// A device as a row of the fleet, and as a card on phones.
import type { Device } from '#contracts/http/devices.ts';
import { IconCpu } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import {
  AttestationBadge,
  DeviceApprovalBadge,
  LivenessBadge,
  RotationBadge,
  Tags,
  TierBadge,
} from '../../parts/badges.tsx';
import type { Column } from '../../parts/data-table.tsx';
import { Ending } from '../../parts/ending.tsx';
import { Moment } from '../../parts/moment.tsx';
import { shortened } from '../../words/names.ts';
import { kindWords } from '../../words/states.ts';
import item from '../../parts/list-item.module.css';
import classes from './fleet-table.module.css';

export const fleetColumns: Column<Device>[] = [
  { id: 'device', header: 'Device', cell: ({ row }) => <DeviceCell device={row.original} /> },
  { id: 'trust', header: 'Trust', cell: ({ row }) => <TierBadge tier={row.original.trust_tier} /> },
  { id: 'approval', header: 'Approval', cell: ({ row }) => <ApprovalCell device={row.original} /> },
  { id: 'liveness', header: 'Last seen', cell: ({ row }) => <LivenessCell device={row.original} /> },
  { id: 'attestation', header: 'Attestation', cell: ({ row }) => <AttestationCell device={row.original} /> },
  { id: 'certificate', header: 'Certificate', cell: ({ row }) => <CertificateCell device={row.original} /> },
  { id: 'tags', header: 'Tags', cell: ({ row }) => <DeviceTags device={row.original} limit={2} /> },
];

export function DeviceCard({ device }: { readonly device: Device }) {
  return (
    <div className={item['card']}>
      <DeviceCell device={device} />
      <TierBadge tier={device.trust_tier} />
      <div className={classes['line']}>
        <LivenessBadge liveness={device.liveness} plain />
        <Moment at={device.last_seen_at} empty="Never seen" />
        <DeviceApprovalBadge state={device.approval_state} plain />
        {device.pending_review !== null && (
          <span>
            {kindWords[device.pending_review.kind].short}: {device.pending_review.approvals} of{' '}
            {device.pending_review.required}
          </span>
        )}
        {device.attestation.state !== 'not_required' && (
          <span className={classes['pair']}>
            Evidence <AttestationBadge state={device.attestation.state} plain />
          </span>
        )}
        {device.certificate !== null && (
          <Ending
            at={device.certificate.not_after}
            isSoon={device.certificate.expiring_soon}
            isRevoked={device.trust_tier === 'revoked'}
          />
        )}
      </div>
      {device.reported_tags.length + device.assigned_tags.length > 0 && (
        <div className={classes['wide']}>
          <DeviceTags device={device} limit={4} />
        </div>
      )}
    </div>
  );
}

function DeviceCell({ device }: { readonly device: Device }) {
  const facts = [device.platform, device.hostname].filter((fact) => fact !== null && fact !== device.device_id);
  return (
    <span className={item['cell']}>
      <Link to="/devices/$deviceId" params={{ deviceId: device.device_id }} className={item['name']}>
        {device.device_id}
      </Link>
      <small className={classes['host']}>
        <span title={facts.join(' · ')}>
          {device.retired ? 'Retired' : facts.length === 0 ? 'Nothing reported yet' : facts.join(' · ')}
        </span>
        {device.hardware_identity !== null && (
          <IconCpu
            size={13}
            role="img"
            aria-label="Hardware is known"
            title={`Its hardware: ${shortened(device.hardware_identity)}`}
          />
        )}
      </small>
    </span>
  );
}

function ApprovalCell({ device }: { readonly device: Device }) {
  const review = device.pending_review;
  return (
    <span className={item['cell']}>
      <DeviceApprovalBadge state={device.approval_state} plain />
      {review !== null && (
        <small>
          {kindWords[review.kind].short}: {review.approvals} of {review.required}
        </small>
      )}
    </span>
  );
}

function LivenessCell({ device }: { readonly device: Device }) {
  return (
    <span className={item['cell']}>
      <LivenessBadge liveness={device.liveness} plain />
      <small>
        <Moment at={device.last_seen_at} empty="Never seen" />
      </small>
    </span>
  );
}

function AttestationCell({ device: { attestation } }: { readonly device: Device }) {
  return (
    <span className={item['cell']}>
      <AttestationBadge state={attestation.state} plain />
      {attestation.verified_at !== null && (
        <small>
          <Moment at={attestation.verified_at} />
        </small>
      )}
    </span>
  );
}

function CertificateCell({ device: { certificate, trust_tier } }: { readonly device: Device }) {
  if (certificate === null) return <small className={item['none']}>None pinned</small>;
  return (
    <span className={item['cell']}>
      <Ending at={certificate.not_after} isSoon={certificate.expiring_soon} isRevoked={trust_tier === 'revoked'} />
      <RotationBadge advice={certificate.rotation} plain />
    </span>
  );
}

const DeviceTags = ({ device, limit }: { readonly device: Device; readonly limit: number }) => (
  <Tags reported={device.reported_tags} assigned={device.assigned_tags} limit={limit} />
);

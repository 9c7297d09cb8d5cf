// A certificate as a row, and as a card on phones.
import type { ListedCertificate } from '#contracts/http/certificates.ts';
import { IconBan, IconClock, IconPin } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { NoteBadge, RotationBadge, TierBadge } from '../../parts/badges.tsx';
import { CopyText } from '../../parts/copy.tsx';
import type { Column } from '../../parts/data-table.tsx';
import { Ending } from '../../parts/ending.tsx';
import { FullMoment } from '../../parts/moment.tsx';
import { shortened } from '../../words/names.ts';
import item from '../../parts/list-item.module.css';
import classes from './certificate-table.module.css';

interface Shown {
  readonly certificate: ListedCertificate;
}

export const certificateColumns: Column<ListedCertificate>[] = [
  { id: 'device', header: 'Device', cell: ({ row }) => <DeviceName certificate={row.original} /> },
  { id: 'ends', header: 'Ends', cell: ({ row }) => <End certificate={row.original} /> },
  { id: 'rotation', header: 'Rotation', cell: ({ row }) => <Urgency certificate={row.original} /> },
  { id: 'role', header: 'Role', cell: ({ row }) => <RoleBadge certificate={row.original} /> },
  { id: 'trust', header: 'Device trust', cell: ({ row }) => <TierBadge tier={row.original.trust_tier} plain /> },
  {
    id: 'fingerprint',
    header: 'Fingerprint and issuer',
    cell: ({ row }) => <Fingerprint certificate={row.original} />,
  },
];

export function CertificateCard({ certificate }: Shown) {
  return (
    <div className={item['card']}>
      <DeviceName certificate={certificate} />
      <TierBadge tier={certificate.trust_tier} plain />
      <div className={classes['line']}>
        <End certificate={certificate} />
        {(certificate.revoked || certificate.rotation !== 'none') && <Urgency certificate={certificate} />}
        <RoleBadge certificate={certificate} />
      </div>
    </div>
  );
}

function DeviceName({ certificate: { device_id, subject } }: Shown) {
  return (
    <span className={item['cell']}>
      <Link to="/devices/$deviceId" params={{ deviceId: device_id }} className={item['name']} title={subject}>
        {device_id}
      </Link>
    </span>
  );
}

function End({ certificate: { not_after, expiring_soon } }: Shown) {
  return (
    <span className={item['cell']}>
      <Ending at={not_after} isSoon={expiring_soon} />
      <small>
        <FullMoment at={not_after} />
      </small>
    </span>
  );
}

/** Nothing is rotated that is refused for ever. */
function Urgency({ certificate: { revoked, rotation } }: Shown) {
  if (revoked) {
    return <NoteBadge tone="bad" icon={IconBan} label="Revoked" meaning="It is refused for ever." />;
  }
  return rotation === 'none' ? (
    <span className={item['none']}>Not needed</span>
  ) : (
    <RotationBadge advice={rotation} plain />
  );
}

function RoleBadge({ certificate: { role } }: Shown) {
  const isPinned = role === 'pinned';
  const RoleIcon = isPinned ? IconPin : IconClock;
  return (
    <span
      className={classes['role']}
      title={isPinned ? 'The device is accepted with this one only' : 'People are asked whether to accept it'}
    >
      <RoleIcon size={14} aria-hidden />
      {isPinned ? 'Pinned' : 'Under review'}
    </span>
  );
}

function Fingerprint({ certificate: { fingerprint_sha256, device_id, issuer } }: Shown) {
  return (
    <span className={item['cell']}>
      <CopyText
        text={fingerprint_sha256}
        shown={shortened(fingerprint_sha256)}
        what={`the fingerprint of the certificate of ${device_id}`}
      />
      <small className={classes['cut']} title={issuer}>
        by {issuer}
      </small>
    </span>
  );
}

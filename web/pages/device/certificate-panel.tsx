// A certificate: whose it is, how long it holds, and its fingerprint to compare.
import type { Device } from '#contracts/http/devices.ts';
import { NoteBadge, RotationBadge } from '../../parts/badges.tsx';
import { CopyText } from '../../parts/copy.tsx';
import { Fact, Facts } from '../../parts/facts.tsx';
import { FullMoment, Moment, useNowMs } from '../../parts/moment.tsx';
import { Note, Panel } from '../../parts/page.tsx';
import { grouped } from '../../words/names.ts';
import classes from './certificate-panel.module.css';

type Certificate = NonNullable<Device['certificate']>;

interface CertificatePanelProps {
  readonly title: string;
  readonly certificate: Certificate | null;
  readonly isRevoked?: boolean;
}

export function CertificatePanel({ title, certificate, isRevoked = false }: CertificatePanelProps) {
  if (certificate === null) {
    return (
      <Panel title={title}>
        <Note>None is pinned. The certificate that people approve will be, and no other is accepted then.</Note>
      </Panel>
    );
  }
  return (
    <Panel
      title={title}
      aside={
        <>
          {isRevoked && <NoteBadge tone="bad" label="Revoked" meaning="It is refused for ever." />}
          {certificate.expiring_soon && (
            <NoteBadge tone="watch" label="Expires soon" meaning="It ends within the time that policy warns before." />
          )}
          <RotationBadge advice={certificate.rotation} />
        </>
      }
    >
      <Facts>
        <Fact name="Fingerprint (SHA-256)">
          <CopyText
            text={certificate.fingerprint_sha256}
            what="the fingerprint"
            shown={grouped(certificate.fingerprint_sha256)}
          />
        </Fact>
        <Fact name="Subject">{certificate.subject}</Fact>
        <Fact name="Issuer">{certificate.issuer}</Fact>
        <Fact name="Serial number">
          <CopyText text={certificate.serial_number} what="the serial number" />
        </Fact>
        <Fact name="Validity">
          <Validity certificate={certificate} />
        </Fact>
      </Facts>
    </Panel>
  );
}

function Validity({ certificate: { not_before, not_after, expiring_soon } }: { readonly certificate: Certificate }) {
  const nowMs = useNowMs(60_000);
  const [from, until] = [Date.parse(not_before), Date.parse(not_after)];
  const used = Math.round(Math.min(1, Math.max(0, (nowMs - from) / (until - from))) * 100);
  const isOver = until <= nowMs;
  return (
    <div className={classes['validity']} data-tone={isOver ? 'bad' : expiring_soon ? 'watch' : 'good'}>
      <progress max={100} value={used} aria-label={`${used} % of its life is over`} />
      <span>
        <FullMoment at={not_before} /> to <FullMoment at={not_after} />
      </span>
      <strong>
        {isOver ? 'Expired' : 'Expires'} <Moment at={not_after} />
      </strong>
    </div>
  );
}

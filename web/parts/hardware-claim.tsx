// The attestation key and the hardware that are up for approval, and what that changes for the device.
import type { Approval } from '#contracts/http/approvals.ts';
import { useQuery } from '@tanstack/react-query';
import { useBarrier, useServices } from '../data/services.tsx';
import { hardwareChange, hardwareField, type Bound } from '../words/hardware.ts';
import { Comparison } from './comparison.tsx';
import { AnyValue, Fact, Facts } from './facts.tsx';
import classes from './review.module.css';

interface HardwareClaimProps {
  readonly approval: Approval;
  /** As the approval has it: every field of it is shown. */
  readonly claim: Readonly<Record<string, unknown>>;
}

export function HardwareClaim({ approval, claim }: HardwareClaimProps) {
  const bound = useBound(approval);
  const compared = Object.entries(claim).filter(([name]) => bound && name in bound);
  const others = Object.entries(claim).filter(([name]) => !(bound && name in bound));
  return (
    <section className={classes['claim']} aria-label="Attestation key and hardware">
      <p>{hardwareChange(bound, claim)}</p>
      {bound && (
        <Comparison
          of="Hardware"
          caption="What the device is bound to now, and what it would be bound to"
          now="Bound now"
          before={{ ...bound }}
          after={Object.fromEntries(compared)}
          nameOf={hardwareField}
        />
      )}
      {others.length > 0 && (
        <div className={classes['content']}>
          <Facts>
            {others.map(([name, value]) => (
              <Fact key={name} name={hardwareField(name)}>
                <AnyValue name={hardwareField(name)} value={value} />
              </Fact>
            ))}
          </Facts>
        </div>
      )}
    </section>
  );
}

/** Only while it is open: later the device is bound to what was decided. */
function useBound({ closed_at, subject }: Approval): Bound {
  const { queries } = useServices();
  const mayRead = useBarrier('device.read') === null;
  const status = useQuery({ ...queries.attestation(subject.id), enabled: closed_at === null && mayRead });
  return closed_at === null ? status.data?.binding : undefined;
}

// Why a device stands where it stands.
import type { Device } from '#contracts/http/devices.ts';
import {
  IconCertificate,
  IconFingerprint,
  IconHeartbeat,
  IconHourglassHigh,
  IconShieldSearch,
  type Icon,
} from '@tabler/icons-react';
import { useNowMs } from '../../parts/moment.tsx';
import { Panel } from '../../parts/page.tsx';
import tones from '../../parts/tones.module.css';
import { explain, type Fact } from '../../words/explain.ts';
import { tierWords } from '../../words/states.ts';
import classes from './why-panel.module.css';

const icons: Record<Fact['about'], Icon> = {
  identity: IconFingerprint,
  certificate: IconCertificate,
  attestation: IconShieldSearch,
  liveness: IconHeartbeat,
  awaited: IconHourglassHigh,
};

export function WhyPanel({ device }: { readonly device: Device }) {
  const words = tierWords[device.trust_tier];
  return (
    <Panel title={`Why it is ${words.label.toLowerCase()}`}>
      <p className={classes['meaning']}>{words.meaning} Of all facts below, the worst decides.</p>
      <ul className={classes['facts']}>
        {explain(device, useNowMs(60_000)).map((fact) => {
          const FactIcon = icons[fact.about];
          return (
            <li key={fact.about} className={tones[fact.tone]}>
              <span className={classes['icon']}>
                <FactIcon size={17} aria-hidden />
              </span>
              <span>{fact.text}</span>
            </li>
          );
        })}
        {device.reason !== null && (
          <li className={tones['quiet']}>
            <span className={classes['icon']}>
              <IconFingerprint size={17} aria-hidden />
            </span>
            <span>Last decision: {device.reason}</span>
          </li>
        )}
      </ul>
    </Panel>
  );
}

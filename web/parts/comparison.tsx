// Two certificates side by side, field by field, with what differs marked in words and colour.
import type { Certificate } from '#contracts/http/devices.ts';
import { IconEqual, IconReplace } from '@tabler/icons-react';
import { plainName } from '../words/names.ts';
import classes from './certificate-comparison.module.css';
import { AnyValue } from './facts.tsx';

interface CertificateComparisonProps {
  /** The one that would be replaced. */
  readonly before: Certificate;
  /** What is asked for, as the approval has it: every field of it is shown. */
  readonly after: Readonly<Record<string, unknown>>;
}

export function CertificateComparison({ before, after }: CertificateComparisonProps) {
  const known: Readonly<Record<string, unknown>> = { ...before };
  return (
    <table className={classes['comparison']}>
      <caption>The certificate that is pinned now, and the one that would replace it</caption>
      <thead>
        <tr>
          <th scope="col">Certificate</th>
          <th scope="col">Pinned now</th>
          <th scope="col">Asked for</th>
          <th scope="col">Changed</th>
        </tr>
      </thead>
      <tbody>
        {Object.entries(after).map(([name, value]) => {
          const changed = known[name] !== value;
          const Mark = changed ? IconReplace : IconEqual;
          return (
            <tr key={name} data-changed={changed}>
              <th scope="row">{plainName(name)}</th>
              <td data-label="Pinned now">
                <AnyValue name={name} value={known[name]} />
              </td>
              <td data-label="Asked for">
                <AnyValue name={name} value={value} />
              </td>
              <td>
                <span className={classes['mark']}>
                  <Mark size={14} aria-hidden />
                  {changed ? 'Changed' : 'Same'}
                </span>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

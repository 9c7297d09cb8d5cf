// What holds and what is asked for side by side, field by field, with what differs marked in words and colour.
import { IconEqual, IconReplace } from '@tabler/icons-react';
import { plainName } from '../words/names.ts';
import classes from './comparison.module.css';
import { AnyValue } from './facts.tsx';

interface ComparisonProps {
  /** What is compared. */
  readonly of: string;
  readonly caption: string;
  /** How that is called which holds now: it would be replaced. */
  readonly now: string;
  readonly before: Readonly<Record<string, unknown>>;
  /** What is asked for, as the approval has it: every field of it is shown. */
  readonly after: Readonly<Record<string, unknown>>;
  readonly nameOf?: (field: string) => string;
}

export function Comparison({ of, caption, now, before, after, nameOf = plainName }: ComparisonProps) {
  return (
    <table className={classes['comparison']}>
      <caption>{caption}</caption>
      <thead>
        <tr>
          <th scope="col">{of}</th>
          <th scope="col">{now}</th>
          <th scope="col">Asked for</th>
          <th scope="col">Changed</th>
        </tr>
      </thead>
      <tbody>
        {Object.entries(after).map(([name, value]) => {
          const changed = before[name] !== value;
          const Mark = changed ? IconReplace : IconEqual;
          return (
            <tr key={name} data-changed={changed}>
              <th scope="row">{nameOf(name)}</th>
              <td data-label={now}>
                <AnyValue name={nameOf(name)} value={before[name]} />
              </td>
              <td data-label="Asked for">
                <AnyValue name={nameOf(name)} value={value} />
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

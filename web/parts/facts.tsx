// Names and values, aligned; and objects of unknown shape in the same form.
import type { ReactNode } from 'react';
import { plainName } from '../words/names.ts';
import { CopyText } from './copy.tsx';
import { FullMoment } from './moment.tsx';
import classes from './facts.module.css';

export function Facts({ children }: { readonly children: ReactNode }) {
  return <dl className={classes['facts']}>{children}</dl>;
}

interface FactProps {
  readonly name: string;
  /** Gives the value a line of its own. */
  readonly isWide?: boolean;
  readonly children: ReactNode;
}

export function Fact({ name, isWide = false, children }: FactProps) {
  return (
    <div className={classes['fact']} data-wide={isWide}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

type Values = Readonly<Record<string, unknown>>;

/** An object as it came, every field of it: what is approved must be seen in full. */
export function ObjectFacts({ value }: { readonly value: Values }) {
  return (
    <Facts>
      {Object.entries(value).map(([name, field]) => (
        <Fact key={name} name={plainName(name)} isWide={isObject(field)}>
          <AnyValue name={name} value={field} />
        </Fact>
      ))}
    </Facts>
  );
}

/** A value of unknown kind, under its name. */
export function AnyValue({ name, value }: { readonly name: string; readonly value: unknown }) {
  if (value === null || value === undefined || value === '') return <span className={classes['none']}>None</span>;
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  if (typeof value === 'number') return value.toLocaleString();
  if (typeof value === 'string') return <TextValue name={name} value={value} />;
  if (Array.isArray(value)) {
    if (value.length === 0) return <span className={classes['none']}>None</span>;
    if (value.every((item) => typeof item === 'string')) return value.join(', ');
  }
  if (isObject(value)) {
    return (
      <div className={classes['nested']}>
        <ObjectFacts value={value} />
      </div>
    );
  }
  return <code className={classes['json']}>{JSON.stringify(value)}</code>;
}

/** Fields with names, of whatever kind. */
export function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const instantForm = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;
const hexForm = /^[0-9a-f]{16,}$/;

function TextValue({ name, value }: { readonly name: string; readonly value: string }) {
  if (instantForm.test(value)) return <FullMoment at={value} />;
  if (hexForm.test(value)) return <CopyText text={value} what={plainName(name)} />;
  return value;
}

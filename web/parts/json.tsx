// An object as the API sent it.
import { CopyButton } from './copy.tsx';
import classes from './json.module.css';

export function Json({ value, label }: { readonly value: unknown; readonly label: string }) {
  const text = JSON.stringify(value, null, 2);
  return (
    <div className={classes['box']}>
      <div className={classes['copy']}>
        <CopyButton text={text} what="the JSON" />
      </div>
      <pre className={classes['text']} tabIndex={0} role="region" aria-label={label}>
        {text}
      </pre>
    </div>
  );
}

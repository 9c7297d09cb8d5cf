// Says why something is not offered, where it would have been.
import { IconInfoCircle } from '@tabler/icons-react';
import classes from './barrier.module.css';

export function Barrier({ text }: { readonly text: string }) {
  return (
    <p className={classes['barrier']}>
      <IconInfoCircle size={17} aria-hidden />
      <span>{text}</span>
    </p>
  );
}

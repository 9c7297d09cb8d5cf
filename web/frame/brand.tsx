// The mark and the name.
import classes from './brand.module.css';

export function Brand() {
  return (
    <span className={classes['brand']}>
      <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden>
        <path className={classes['shield']} d="M16 2.5 27 6.6v8.6c0 7-4.5 12-11 14.3C9.5 27.2 5 22.2 5 15.2V6.6z" />
        <path className={classes['tick']} d="m11 15.8 3.6 3.6 6.6-7" />
      </svg>
      Sentinel
    </span>
  );
}

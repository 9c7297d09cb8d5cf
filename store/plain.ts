// Rows leave the store as plain objects, with times as contracts have them.
import type { Instant } from '#contracts/deps.ts';

/** @param entity whose scalar properties are those of `Row`; lazy ones are left out */
export function plain<Row>(entity: object): Row {
  return { ...entity } as Row;
}

/** @param value a time as the driver gives it: text, in whatever form the server writes it */
export function toInstant(value: string): Instant {
  return new Date(value).toISOString();
}

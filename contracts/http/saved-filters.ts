// /api/saved-filters: filters of the fleet under the names that people gave them.
import { Type, type Static } from 'typebox';
import { Exactly, Instant, List } from './common.ts';
import { DeviceFilterQuery } from './devices.ts';

/** What can be read on a screen: no control characters, and no spaces at the ends. */
const name = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: '^[^\\s\\x00-\\x1f\\x7f/\\\\]([^\\x00-\\x1f\\x7f/\\\\]*[^\\s\\x00-\\x1f\\x7f/\\\\])?$',
});

export const SavedFilterParams = Type.Object({ name });
export const SavedFilterBody = Exactly({ query: DeviceFilterQuery });

export const SavedFilter = Type.Object({ name: Type.String(), query: DeviceFilterQuery, saved_at: Instant });
export type SavedFilter = Static<typeof SavedFilter>;
export const SavedFilterList = List(SavedFilter);
export type SavedFilterList = Static<typeof SavedFilterList>;

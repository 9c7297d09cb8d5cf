// Column types that several entities share.
import { type EntityProperty, p, type Platform, Type } from '@mikro-orm/core';

/** A point in time as contracts have it: RFC 3339, UTC, milliseconds. The column keeps no more. */
class InstantType extends Type<string, string> {
  override convertToJSValue(value: string): string {
    return new Date(value).toISOString();
  }
  override getColumnType(): string {
    return 'timestamptz(3)';
  }
  override compareAsType(): string {
    return 'string';
  }
}

class TextListType extends Type<readonly string[], unknown> {
  override getColumnType(_property: EntityProperty, _platform: Platform): string {
    return 'text[]';
  }
}

export const instant = () => p.type(InstantType);
export const textList = () => p.type(TextListType);
export const count = () => p.bigint('number');

// Shapes that several resources share.
import { uuidPattern } from '#contracts/ids.ts';
import { Type, type Static, type TEnum, type TSchema } from 'typebox';

export const Instant = Type.String({ format: 'date-time', description: 'RFC 3339, UTC' });
export const Fingerprint = Type.String({
  pattern: '^[0-9a-f]{64}$',
  description: 'SHA-256 over the DER, lower-case hex',
});
export const Digest = Type.String({
  pattern: '^[0-9a-f]{64}$',
  description: 'SHA-256 over the RFC 8785 form, lower-case hex',
});
export const Uuid = Type.String({ pattern: uuidPattern });
export const Reason = Type.String({ minLength: 1, maxLength: 500 });
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
export const Names = <const T extends string>(names: readonly T[]): TEnum<T[]> => Type.Enum([...names]);

/** A number for each name. */
export const countsOf = <const Name extends string>(names: readonly Name[]) =>
  Type.Object(
    Object.fromEntries(names.map((name) => [name, Type.Integer()])) as Record<Name, ReturnType<typeof Type.Integer>>,
  );

/** An object that refuses what it does not know. */
export const Exactly = <T extends Record<string, TSchema>>(fields: T, options: { description?: string } = {}) =>
  Type.Object(fields, { additionalProperties: false, ...options });

export const ProblemBody = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.String(),
  request_id: Type.String(),
  errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
  facts: Type.Optional(
    Type.Record(Type.String(), Nullable(Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
  ),
});
export type ProblemBody = Static<typeof ProblemBody>;

export const ListQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 50 })),
  cursor: Type.Optional(Type.String({ maxLength: 500 })),
};
export const List = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), next_cursor: Nullable(Type.String()) });

export const WorkflowLink = Type.Object(
  { id: Type.String(), url: Nullable(Type.String()) },
  { description: 'The durable workflow behind this object; url is null once Temporal has let go of it' },
);

/** The body of every review route. */
export const ReviewBody = Exactly({
  decision: Names(['approve', 'reject']),
  reason: Type.Optional(Reason),
  digest: Type.Optional(Digest),
});
export type ReviewBody = Static<typeof ReviewBody>;

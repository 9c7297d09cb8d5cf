// /api/health: is it alive, and is it ready?
import { Type, type Static } from 'typebox';
import { Names } from './common.ts';

export const Live = Type.Object({ status: Type.Literal('ok'), version: Type.String() });
export type Live = Static<typeof Live>;

const CheckStatus = Names(['ok', 'degraded', 'failed']);
export const Ready = Type.Object({
  status: CheckStatus,
  checks: Type.Record(Type.String(), Type.Object({ status: CheckStatus, detail: Type.String() })),
});
export type Ready = Static<typeof Ready>;

/** Why checks are not well, by their names; a check that is well, or whose reason is not known, is not among them. */
export const HealthReasons = Type.Object({ reasons: Type.Record(Type.String(), Type.String()) });
export type HealthReasons = Static<typeof HealthReasons>;

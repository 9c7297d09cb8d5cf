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

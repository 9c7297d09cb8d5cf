// /api/admin: sign-in, the signed-in person, and sessions.
import { Type, type Static } from 'typebox';
import { permissionNames, roles } from '../permissions.ts';
import { Exactly, Instant, List, ListQuery, Names, Nullable, Uuid } from './common.ts';

export const LoginBody = Exactly({
  username: Type.String({ minLength: 1, maxLength: 64 }),
  password: Type.String({ minLength: 1, maxLength: 1024 }),
  totp: Type.Optional(Type.String({ pattern: '^[0-9]{6}$' })),
});
export type LoginBody = Static<typeof LoginBody>;

export const LoginAnswer = Type.Object({ token: Type.String(), expires_at: Instant, session_id: Uuid });
export type LoginAnswer = Static<typeof LoginAnswer>;

export const Me = Type.Object({
  username: Type.String(),
  roles: Type.Array(Names(roles)),
  permissions: Type.Array(Names(permissionNames)),
  csrf_token: Type.String(),
  session_id: Type.String(),
  expires_at: Instant,
  project: Type.String(),
});
export type Me = Static<typeof Me>;

export const Session = Type.Object({
  id: Uuid,
  username: Type.String(),
  created_at: Instant,
  expires_at: Instant,
  last_used_at: Nullable(Instant),
  ended_at: Nullable(Instant),
  ip: Nullable(Type.String()),
  user_agent: Nullable(Type.String()),
  current: Type.Boolean(),
});
export type Session = Static<typeof Session>;
export const SessionListQuery = Exactly({
  ...ListQuery,
  of: Type.Optional(Names(['me', 'everybody'])),
});
export type SessionListQuery = Static<typeof SessionListQuery>;
export const SessionList = List(Session);
export type SessionList = Static<typeof SessionList>;
export const SessionParams = Type.Object({ session_id: Uuid });

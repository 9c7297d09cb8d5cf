// What components reach through the tree: the client, the queries, the connection, and the person.
import type { Client } from '#client/client.ts';
import type { Me } from '#contracts/http/admin.ts';
import type { Permission } from '#contracts/permissions.ts';
import { useQuery } from '@tanstack/react-query';
import { createContext, use, useSyncExternalStore } from 'react';
import { missingPermission } from '../words/permission.ts';
import type { Connection, ConnectionState } from './connection.ts';
import type { Queries } from './queries.ts';

export interface Services {
  readonly client: Client;
  readonly queries: Queries;
  readonly connection: Connection;
}

export const ServicesContext = createContext<Services | null>(null);

export function useServices(): Services {
  const services = use(ServicesContext);
  if (services === null) throw new TypeError('ServicesContext is missing');
  return services;
}

/** The signed-in person, or null. */
export function useVisitor(): Me | null {
  return useQuery(useServices().queries.me()).data ?? null;
}

const nobody: Me = {
  username: '',
  roles: [],
  permissions: [],
  csrf_token: '',
  session_id: '',
  expires_at: '1970-01-01T00:00:00.000Z',
  project: '',
};

/** The signed-in person; somebody without rights in the moment between the end of a session and the sign-in page. */
export function useMe(): Me {
  return useVisitor() ?? nobody;
}

/** Why the signed-in person may not do it; null when they may. */
export function useBarrier(permission: Permission): string | null {
  return missingPermission(useMe(), permission);
}

export function useConnection(): ConnectionState {
  const { connection } = useServices();
  return useSyncExternalStore(connection.subscribe, connection.state);
}

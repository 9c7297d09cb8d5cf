// Names of things: what an id looks like, and how one is made from another.

declare const brand: unique symbol;
type Id<Name extends string> = string & { readonly [brand]: Name };

/** The device's own name: the one common name of its certificate. */
export type DeviceId = Id<'DeviceId'>;
/** A project's short name. */
export type ProjectId = Id<'ProjectId'>;

export const deviceIdPattern = '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$';
export const projectIdPattern = '^[a-z0-9][a-z0-9-]{0,62}$';
/** What a device reports about its purpose, and what people assign to it. */
export const tagPattern = '^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,63}$';
/** User names are compared exactly. */
export const usernamePattern = '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$';

/** The project of an installation that has no other. */
export const defaultProject = 'default' as ProjectId;

/** As Postgres writes it, which is the only form that names a row. */
export const uuidPattern = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

const deviceIdForm = new RegExp(deviceIdPattern);
const projectIdForm = new RegExp(projectIdPattern);
const uuidForm = new RegExp(uuidPattern);

export function isDeviceId(value: unknown): value is DeviceId {
  return typeof value === 'string' && deviceIdForm.test(value);
}

export function isProjectId(value: unknown): value is ProjectId {
  return typeof value === 'string' && projectIdForm.test(value);
}

/** Postgres refuses a whole statement for one malformed UUID; what is none names nothing. */
export function isUuid(value: string): boolean {
  return uuidForm.test(value);
}

export const actorKinds = ['device', 'approval'] as const;
export type ActorKind = (typeof actorKinds)[number];

/** Names one actor; its Temporal workflow id is made of it. */
export interface ActorRef {
  readonly kind: ActorKind;
  readonly project: string;
  /** `device_id` for a device, a UUID for everything else. */
  readonly id: string;
}

/**
 * The id of the actor's row, in clear: `device/<project>/<device_id>`, `approval/<id>`.
 * Temporal's workflow id is the same unless opaque ids are on (see `protocols/workflow-id.ts`).
 */
export function actorId(ref: ActorRef): string {
  return ref.kind === 'device' ? `device/${ref.project}/${ref.id}` : `${ref.kind}/${ref.id}`;
}

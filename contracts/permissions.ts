// Who may do what: one table of permissions with the lowest role that has each; roles are derived from it.

export const roles = ['viewer', 'operator', 'approver', 'security', 'admin'] as const;
export type Role = (typeof roles)[number];

/**
 * Each permission with the roles that have it. An admin has all, and no role inherits silently from another:
 * operators request what approvers review, so that the two need not be the same person.
 */
export const permissions = {
  'device.read': {
    roles: ['viewer', 'operator', 'approver', 'security'],
    meaning: 'See devices, their certificates and their history',
  },
  'device.reset': {
    roles: ['security'],
    meaning: 'Clear the pin and counter of a device and start it again as pending',
  },
  'device.retire': { roles: ['operator', 'security'], meaning: 'Take a device out of service' },
  'approval.read': { roles: ['viewer', 'operator', 'approver', 'security'], meaning: 'See what waits for a decision' },
  'identity.review': {
    roles: ['approver', 'security'],
    meaning: 'Approve or reject enrollments, rotations and hardware changes',
  },
  'certificate.revoke': { roles: ['security'], meaning: 'Revoke the certificate of a device' },
  'assertion.mint': { roles: [], meaning: 'Sign a statement of how far a device is trusted, for another system' },
  'audit.read': { roles: ['viewer', 'operator', 'approver', 'security'], meaning: 'Read the audit trail' },
  'audit.verify': { roles: ['viewer', 'operator', 'approver', 'security'], meaning: 'Verify the audit trail' },
  'session.revoke_any': { roles: ['security'], meaning: 'End the session of somebody else' },
  'workflow.read': {
    roles: ['operator', 'approver', 'security'],
    meaning: 'Look at workflows and their history in Temporal’s UI',
  },
  'workflow.write': { roles: [], meaning: 'Signal, reset or terminate workflows in Temporal’s UI' },
  'health.read': {
    roles: ['operator', 'security'],
    meaning: 'See why a part of the installation is not well, not only that it is not',
  },
  'event.read': { roles: ['viewer', 'operator', 'approver', 'security'], meaning: 'Follow the live event stream' },
} as const satisfies Record<string, { roles: readonly Exclude<Role, 'admin'>[]; meaning: string }>;

export type Permission = keyof typeof permissions;
export const permissionNames = Object.keys(permissions) as Permission[];

/** The permissions of a person: those of every role, and the explicit ones, which only ever add. */
export function permissionsOf(person: { roles: readonly Role[]; permissions?: readonly Permission[] }): Permission[] {
  const explicit = new Set<Permission>(person.permissions ?? []);
  return permissionNames.filter(
    (name) =>
      explicit.has(name) ||
      person.roles.includes('admin') ||
      (permissions[name].roles as readonly Role[]).some((role) => person.roles.includes(role)),
  );
}

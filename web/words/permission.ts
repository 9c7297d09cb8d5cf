// Why an action is not offered, in words.
import type { Me } from '#contracts/http/admin.ts';
import { permissions, type Permission } from '#contracts/permissions.ts';

/** The reason why this person may not do it, or null. */
export function missingPermission(me: Me, permission: Permission): string | null {
  if (me.permissions.includes(permission)) return null;
  const roles = [...permissions[permission].roles, 'admin'];
  const mine = me.roles.length === 0 ? 'none' : me.roles.join(', ');
  return `This needs the permission ${permission}, which the ${roles.length === 1 ? 'role' : 'roles'} ${listed(roles)} ${roles.length === 1 ? 'has' : 'have'}. Yours: ${mine}.`;
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

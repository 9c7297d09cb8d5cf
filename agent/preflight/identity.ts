// The certificate of the device and its key: whose they are, whether they fit, and how long they hold.
import type { AgentConfig } from '../config.ts';
import { dayMs, expiresSoonDays } from '../certificate-dates.ts';
import { readIdentity, type Identity } from '../identity.ts';
import { checkAccess, findingOf, type UserId } from './files.ts';
import { error, type Finding, ok, warning } from './finding.ts';

/** The identity is `null` when it cannot be used. */
export async function checkIdentity(
  config: AgentConfig,
  { now, userId }: { readonly now: Date; readonly userId: UserId },
): Promise<{ readonly identity: Identity | null; readonly findings: readonly Finding[] }> {
  const { certificate_path, private_key_path, server_ca_path } = config;
  const access = (
    await Promise.all([
      checkAccess('private_key_path', private_key_path, { isSecret: true, userId }),
      checkAccess('certificate_path', certificate_path, { isSecret: false, userId }),
      ...(server_ca_path === null ? [] : [checkAccess('server_ca_path', server_ca_path, { isSecret: false, userId })]),
    ])
  ).flat();
  try {
    const identity = await readIdentity(config, config.device_id);
    const names = `The certificate names ${identity.commonName} and belongs to the key`;
    return { identity, findings: [...access, ok('certificate_path', names), checkDates(identity, now)] };
  } catch (failure) {
    const finding = findingOf('certificate_path', failure);
    return { identity: null, findings: [...access, finding] };
  }
}

function checkDates({ notBefore, notAfter }: Identity, now: Date): Finding {
  const subject = 'certificate_path';
  const days = Math.floor((notAfter.getTime() - now.getTime()) / dayMs);
  if (notBefore > now)
    return error(
      subject,
      `The certificate is valid from ${notBefore.toISOString()} only`,
      'Check the clock of this device.',
    );
  if (notAfter <= now)
    return error(subject, `The certificate expired at ${notAfter.toISOString()}`, 'Have a new one issued.');
  if (days < expiresSoonDays)
    return warning(
      subject,
      `The certificate expires in ${days} days`,
      'Have a new one issued and put it in the place of this one; the agent takes it up by itself.',
    );
  return ok(subject, `The certificate is valid for ${days} more days`);
}

// Keys for what this version cannot do yet: their files are checked, and nobody is left to believe that they work.
import { readEd25519Key } from '../attestation/signing-key.ts';
import { notYetSupported, type AgentConfig } from '../config.ts';
import { checkAccess, findingOf, type UserId } from './files.ts';
import { type Finding, warning } from './finding.ts';

/** Nothing is said about keys that are empty (those of the sample configuration are). */
export async function checkLater(config: AgentConfig, userId: UserId): Promise<Finding[]> {
  const unsupported = notYetSupported(config).map(({ key, feature }) =>
    warning(key, `${key} has no effect: this version does not support ${feature} yet`, 'Leave it empty for now.'),
  );
  return [...unsupported, ...(await checkUpdateKey(config.update_signing_public_key_path, userId))];
}

async function checkUpdateKey(path: string | null, userId: UserId): Promise<Finding[]> {
  if (path === null) return [];
  const name = 'update_signing_public_key_path';
  const findings = await checkAccess(name, path, { isSecret: false, userId });
  try {
    await readEd25519Key(path, 'public');
    return findings;
  } catch (failure) {
    return [...findings, findingOf(name, failure)];
  }
}

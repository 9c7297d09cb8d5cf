// Keys for what this version cannot do yet: their files are checked, and nobody is left to believe that they work.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { notYetSupported, type AgentConfig } from '../config.ts';
import { FileProblem, fileProblem } from '../file-problem.ts';
import { checkAccess, findingOf, type UserId } from './files.ts';
import { error, type Finding, warning } from './finding.ts';

/** Nothing is said about keys that are empty (the three paths of the sample configuration are). */
export async function checkLater(config: AgentConfig, userId: UserId): Promise<Finding[]> {
  const unsupported = notYetSupported(config).map(({ key, feature }) =>
    warning(key, `${key} has no effect: this version does not support ${feature} yet`, 'Leave it empty for now.'),
  );
  return [
    ...unsupported,
    ...checkPairs(config),
    ...(await checkKey('attestation_private_key_path', config, userId)),
    ...(await checkKey('attestation_public_key_path', config, userId)),
    ...(await checkKey('update_signing_public_key_path', config, userId)),
  ];
}

function checkPairs(config: AgentConfig): Finding[] {
  const { attestation_private_key_path: secret, attestation_public_key_path: open } = config;
  const findings: Finding[] = [];
  if ((secret === null) !== (open === null))
    findings.push(
      error(
        secret === null ? 'attestation_private_key_path' : 'attestation_public_key_path',
        'Only one of the two attestation keys is named',
        'Name both, or none.',
      ),
    );
  if (config.attestation_provider === 'tpm_quote_v1' && config.tpm_quote_command.length === 0)
    findings.push(error('tpm_quote_command', 'tpm_quote_v1 needs a command that makes quotes', 'Name the program.'));
  return findings;
}

type KeyName = 'attestation_private_key_path' | 'attestation_public_key_path' | 'update_signing_public_key_path';

async function checkKey(name: KeyName, config: AgentConfig, userId: UserId): Promise<Finding[]> {
  const path = config[name];
  if (path === null) return [];
  const isSecret = name === 'attestation_private_key_path';
  const findings = await checkAccess(name, path, { isSecret, userId });
  try {
    const text = await readFile(path, 'utf8').catch((failure: unknown) => {
      throw fileProblem(path, failure);
    });
    if (parse(text, isSecret)?.asymmetricKeyType !== 'ed25519')
      throw new FileProblem(
        path,
        `is no Ed25519 ${isSecret ? 'private' : 'public'} key in PEM form`,
        'Make one with: openssl genpkey -algorithm Ed25519',
      );
    return findings;
  } catch (failure) {
    return [...findings, findingOf(name, failure)];
  }
}

function parse(pem: string, isSecret: boolean): KeyObject | null {
  try {
    // A public key can be made from a private one, which must not lie where a public one is expected.
    if (!isSecret && pem.includes('PRIVATE KEY')) return null;
    return isSecret ? createPrivateKey(pem) : createPublicKey(pem);
  } catch {
    return null;
  }
}

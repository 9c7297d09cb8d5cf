// What attestation needs: the pair of keys and the register values of signed measurements, or the program that quotes.
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { measuredPcrs } from '../attestation/measured-pcrs.ts';
import { readEd25519Key, readSigningKey } from '../attestation/signing-key.ts';
import type { AgentConfig } from '../config.ts';
import type { System } from '../system.ts';
import { checkAccess, findingOf, type UserId } from './files.ts';
import { error, type Finding, ok, warning } from './finding.ts';

export interface AttestationCheckDeps {
  readonly system: System;
  readonly userId: UserId;
  /** Folders that programs are looked for in. */
  readonly searchPath: string;
}

/** Nothing is said about keys that are empty (those of the sample configuration are). */
export async function checkAttestation(config: AgentConfig, deps: AttestationCheckDeps): Promise<Finding[]> {
  if (config.attestation_provider === 'tpm_quote_v1') return checkCommand(config.tpm_quote_command, deps);
  return [...(await checkPair(config, deps.userId)), ...(await checkMeasured(config, deps))];
}

async function checkPair(config: AgentConfig, userId: UserId): Promise<Finding[]> {
  const { attestation_private_key_path: privatePath, attestation_public_key_path: publicPath } = config;
  if (privatePath === null && publicPath === null) return [];
  const name = 'attestation_private_key_path';
  const findings = [
    ...(privatePath === null ? [] : await checkAccess(name, privatePath, { isSecret: true, userId })),
    ...(publicPath === null
      ? []
      : await checkAccess('attestation_public_key_path', publicPath, { isSecret: false, userId })),
  ];
  try {
    if (privatePath !== null && publicPath !== null) {
      await readSigningKey({ privatePath, publicPath });
      return [...findings, ok(name, 'The two attestation keys belong together')];
    }
    const missing = privatePath === null ? name : 'attestation_public_key_path';
    findings.push(error(missing, 'Only one of the two attestation keys is named', 'Name both, or none.'));
    if (privatePath !== null) await readEd25519Key(privatePath, 'private');
    if (publicPath !== null) await readEd25519Key(publicPath, 'public');
  } catch (failure) {
    findings.push(findingOf(name, failure));
  }
  return findings;
}

async function checkMeasured(
  { measured_pcrs_path: path }: AgentConfig,
  deps: AttestationCheckDeps,
): Promise<Finding[]> {
  if (path === null) return [];
  const findings = await checkAccess('measured_pcrs_path', path, { isSecret: false, userId: deps.userId });
  try {
    await measuredPcrs(path, deps.system);
    return findings;
  } catch (failure) {
    return [...findings, findingOf('measured_pcrs_path', failure)];
  }
}

async function checkCommand([program]: readonly string[], deps: AttestationCheckDeps): Promise<Finding[]> {
  const subject = 'tpm_quote_command';
  if (program === undefined)
    return [error(subject, 'tpm_quote_v1 needs a command that makes quotes', 'Name the program.')];
  const found = await findProgram(program, deps);
  if (found === null)
    return [error(subject, `${program} is no program that can be run here`, 'Name it with its whole path.')];
  const findings = await checkAccess(subject, found, { isSecret: false, userId: deps.userId });
  if (!isAbsolute(program))
    findings.push(
      warning(subject, `${program} is looked for in PATH, which a service may not have`, `Name it: ${found}`),
    );
  return [...findings, ok(subject, `${found} makes the quotes`)];
}

async function findProgram(program: string, { system, searchPath }: AttestationCheckDeps): Promise<string | null> {
  const isPath = /[\\/]/.test(program);
  const places = isPath ? [program] : searchPath.split(delimiter).map((folder) => join(folder, program));
  const endings = system.platform === 'win32' ? ['', '.exe'] : [''];
  for (const place of places.flatMap((name) => endings.map((ending) => `${name}${ending}`))) {
    const isFile = (await stat(place).catch(() => null))?.isFile() === true;
    const runs = await access(place, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isFile && runs) return place;
  }
  return null;
}

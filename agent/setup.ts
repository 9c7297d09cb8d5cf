// Where an agent gets its configuration from: a file, or a folder as `sentinel ca issue` makes it.
import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseConfig, readConfig, type AgentConfig } from './config.ts';
import { FileProblem, fileProblem } from './file-problem.ts';
import { readIdentity } from './identity.ts';

/** Of a fresh installation on the same machine. */
export const defaultServerUrl = 'https://localhost:8443';
const howToMakeOne =
  'Make one with: sentinel-agent init --identity DIR; or copy agent/config.example.json there and fill it in.';
const largestConfigBytes = 64 * 1024;

/** Where a configuration is looked for when none is named: in the folder of a checkout, then where installers put it. */
export async function findConfig(directory: string, platform: NodeJS.Platform): Promise<string> {
  const near = join(directory, 'agent', 'config.json');
  if ((await stat(near).catch(() => null)) !== null) return near;
  const installed = installedConfig(platform);
  return (await stat(installed).catch(() => null)) !== null ? installed : near;
}

export function installedConfig(platform: NodeJS.Platform): string {
  switch (platform) {
    case 'win32':
      return 'C:\\ProgramData\\Sentinel\\agent\\config.json';
    case 'darwin':
      return '/Library/Application Support/Sentinel/agent/config.json';
    default:
      return '/etc/sentinel-agent/config.json';
  }
}

/** @throws ConfigError, FileProblem */
export async function loadConfig(path: string): Promise<AgentConfig> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new FileProblem(path, 'does not exist', howToMakeOne) : fileProblem(path, error);
  });
  if (found.size > largestConfigBytes)
    throw new FileProblem(path, 'is too large for a configuration', 'Correct the path.');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileProblem(path, error);
  });
  return parseConfig(text, dirname(path));
}

/**
 * The configuration of a device whose `device.key`, `device.crt` and perhaps `ca.crt` are in one folder.
 *
 * @returns What a configuration file for it holds: only what is no default.
 * @throws FileProblem
 */
export async function configOfIdentity(
  folder: string,
  { serverUrl, tags }: { readonly serverUrl: string; readonly tags: readonly string[] },
): Promise<{ readonly config: AgentConfig; readonly source: Readonly<Record<string, unknown>> }> {
  const ca = join(folder, 'ca.crt');
  const files = {
    certificate_path: join(folder, 'device.crt'),
    private_key_path: join(folder, 'device.key'),
    server_ca_path: (await stat(ca).catch(() => null)) === null ? null : ca,
  };
  const { commonName } = await readIdentity(files);
  const source = {
    device_id: commonName,
    server_url: serverUrl,
    ...(files.server_ca_path === null ? {} : { server_ca_path: files.server_ca_path }),
    certificate_path: files.certificate_path,
    private_key_path: files.private_key_path,
    state_path: join(folder, 'state.json'),
    tags,
  };
  return { config: readConfig(source, folder), source };
}

/**
 * Writes a configuration file, never over one that is there.
 *
 * @throws FileProblem
 */
export async function writeConfig(path: string, source: Readonly<Record<string, unknown>>): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const handle = await open(path, 'wx', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(source, null, 2)}\n`);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new FileProblem(path, 'exists already', 'Move it away first, or name another with --out.');
    throw fileProblem(path, error);
  }
}

// One agent bundle: executable, example of a configuration, service definition, guide, and a manifest of it all.
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { archiveOf, type BundleFile, sha256, sumsOf } from './archive.ts';
import { loadBase } from './base.ts';
import { buildExecutable, bundleAgent } from './executable.ts';
import { nodeVersion, type Target, type TargetName, targets } from './targets.ts';

export interface Workshop {
  readonly root: string;
  readonly work: string;
  readonly cache: string;
  readonly version: string;
  /** The target of this machine, and its Node in `work`: what builds, and what the executable of this target is built on. */
  readonly host: TargetName;
  readonly builder: string;
  readonly licence: Buffer;
}

const script = 'sentinel-agent.cjs';
const run = promisify(execFile);

/** Prepares what all bundles need: the agent as a script, and the Node that builds. */
export async function openWorkshop(
  place: Pick<Workshop, 'root' | 'work' | 'cache' | 'version'>,
  host: TargetName,
): Promise<Workshop> {
  const { root, work, cache } = place;
  await bundleAgent(root, join(work, script));
  const { program, licence } = await loadBase(targets[host], cache);
  if (licence === null) throw new Error(`Bundles are not built on ${host}: its Node comes without its licence`);
  const builder = `builder-${host}`;
  await writeFile(join(work, builder), program, { mode: 0o755 });
  return { ...place, host, builder, licence };
}

export interface Bundle {
  readonly name: string;
  readonly archive: Buffer;
  readonly executable: Buffer;
}

export async function buildBundle(target: TargetName, workshop: Workshop): Promise<Bundle> {
  const { root, work, cache, version, host, builder, licence } = workshop;
  const row: Target = targets[target];
  const base = target === host ? builder : `base-${target}`;
  if (base !== builder) await writeFile(join(work, base), (await loadBase(row, cache)).program, { mode: 0o755 });
  const output = `${target}-${row.executable}`;
  const executable = await buildExecutable({ work, script, builder, base, output });
  // The next target needs the room: each has 300 MB.
  await Promise.all([base, output].filter((name) => name !== builder).map((name) => rm(join(work, name))));
  const files: BundleFile[] = [
    { name: row.executable, content: executable, isExecutable: true },
    { name: 'config.example.json', content: await readFile(join(root, row.config)) },
    { name: row.service.file, content: await renderService(row, workshop) },
    { name: 'README.md', content: await readFile(join(root, 'deploy', row.guide, 'README.md')) },
    { name: 'LICENSE.node', content: licence },
  ];
  if (row.guide === 'windows') {
    const preflight = 'preflight-agent-config.ps1';
    files.push({ name: preflight, content: await readFile(join(root, 'deploy', 'windows', preflight)) });
  }
  const manifest = {
    name: 'sentinel-agent',
    version,
    target,
    node: nodeVersion,
    // For whoever installs it: nothing here vouches for the bundle but the digests.
    signed: false,
    files: Object.fromEntries(
      files.map(({ name, content }) => [name, { sha256: sha256(content), size: content.length }]),
    ),
  };
  files.push({ name: 'manifest.json', content: Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`) });
  files.push({ name: 'SHA256SUMS', content: sumsOf(files) });
  const name = `sentinel-agent-${version}-${target}`;
  return { name: `${name}.tar.gz`, archive: await archiveOf(name, files), executable };
}

/** By the very script that goes into the executable, with the defaults of the target. */
async function renderService({ service }: Target, { work, builder }: Workshop): Promise<Buffer> {
  const path = join(work, `service-${service.kind}`);
  await run(join(work, builder), [
    join(work, script),
    'service',
    'write',
    '--kind',
    service.kind,
    '--output',
    path,
    '--force',
  ]);
  return readFile(path);
}

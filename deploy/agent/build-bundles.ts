// Builds agent bundles: `npm run build-agent-bundles -- --help`.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sumsOf } from './archive.ts';
import { buildBundle, openWorkshop } from './bundle.ts';
import { nodeVersion, type TargetName, targetNames, targetOf } from './targets.ts';
import { fail, say } from '#deploy/output.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const usage = `Usage: npm run build-agent-bundles -- [--target TARGET]… [--out DIR] [--cache DIR]

  --target TARGET  one of ${targetNames.join(', ')} (default: all)
  --out DIR        where bundles go (default dist/agent)
  --cache DIR      where the Node packages of the targets are kept (default .sentinel/cache/node)
`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  let values: ReturnType<typeof readArguments>;
  try {
    values = readArguments(args);
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`, 2);
  }
  if (values.help === true) return say(usage);
  const wanted = values.target ?? targetNames;
  const strange = wanted.find((name) => !targetNames.includes(name as TargetName));
  if (strange !== undefined) return fail(`There is no target ${strange}.\n\n${usage}`, 2);
  const host = targetOf(process.platform, process.arch);
  if (host === null)
    return fail(`Bundles cannot be built on ${process.platform}-${process.arch}; use one of the targets.`, 1);
  try {
    await build(wanted as TargetName[], host, {
      out: resolve(values.out ?? join(root, 'dist', 'agent')),
      cache: resolve(values.cache ?? join(root, '.sentinel', 'cache', 'node')),
    });
    return 0;
  } catch (error) {
    return fail(`error: ${(error as Error).message}`, 1);
  }
}

function readArguments(args: string[]) {
  return parseArgs({
    args,
    options: {
      target: { type: 'string', multiple: true },
      out: { type: 'string' },
      cache: { type: 'string' },
      help: { type: 'boolean' },
    },
  }).values;
}

async function build(
  wanted: readonly TargetName[],
  host: TargetName,
  { out, cache }: { readonly out: string; readonly cache: string },
): Promise<void> {
  await Promise.all([out, cache].map((folder) => mkdir(folder, { recursive: true })));
  const packageFile = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  const work = await mkdtemp(join(tmpdir(), 'sentinel-agent-build-'));
  try {
    const workshop = await openWorkshop({ root, work, cache, version: packageFile.version }, host);
    say(`Agent ${packageFile.version} on Node ${nodeVersion}:\n`);
    const bundles = [];
    for (const target of wanted) {
      const { name, archive, executable } = await buildBundle(target, workshop);
      await writeFile(join(out, name), archive);
      bundles.push({ name, content: archive });
      say(`  ${join(out, name)}  ${megabytes(archive)} MB, executable ${megabytes(executable)} MB\n`);
    }
    await writeFile(join(out, 'SHA256SUMS'), sumsOf(bundles));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function megabytes(bytes: Buffer): string {
  return (bytes.length / 1e6).toFixed(1);
}

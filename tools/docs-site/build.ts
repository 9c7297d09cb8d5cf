// Builds the documentation site from the repository's Markdown, into docs/site/dist.
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { renewFolder } from '#start/built-folder.ts';
import { runProgram } from '#start/run-program.ts';
import { drawDiagram } from './diagram.ts';
import { finishPages } from './finish-pages.ts';
import { decisionsIndex, makePage, placePages } from './pages.ts';

export interface DocsSiteBuild {
  /** The folder of the clone. */
  readonly root: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly say: (what: string) => void;
  /** Whether its packages may be installed; without, a site whose packages are missing is left as it is. */
  readonly mayInstall: boolean;
}

/** Everything that the site is made of. */
const sources = ['*.md', 'docs/**/*', 'deploy/**/README.md', 'tools/docs-site/**/*'];
const made = ['docs/site/{dist,node_modules,public,.astro}/**', 'docs/site/src/{content/docs/**,sidebar.json}'];

/**
 * Builds the site when its sources have changed.
 *
 * @throws TrustError `service.unavailable` with what npm or the build said
 */
export async function buildDocsSite(build: DocsSiteBuild): Promise<'built' | 'current' | 'not installed'> {
  const { root, signal, say } = build;
  const site = join(root, 'docs', 'site');
  const folder = {
    root,
    name: 'docs-site',
    target: join(site, 'dist'),
    sources,
    made,
    work: join(site, 'dist-building'),
    signal,
  };
  const done = await renewFolder(folder, async (into) => {
    if (!(await isInstalled(site))) {
      if (!build.mayInstall) return false;
      say('installing its packages, about 250 MB, once');
      await run('npm', ['ci', '--no-audit', '--no-fund'], build, site);
    }
    say('building');
    await writeSources(root, site);
    const astro = join(site, 'node_modules', 'astro', 'bin', 'astro.mjs');
    // What an earlier build kept may have been made by other settings.
    await run(process.execPath, [astro, 'build', '--force', '--outDir', into], build, site);
    await finishPages(into);
    return true;
  });
  return done === 'left' ? 'not installed' : done;
}

function run(program: string, args: readonly string[], build: DocsSiteBuild, directory: string): Promise<string> {
  return runProgram(program, args, {
    directory,
    environment: { ...build.environment, NODE_ENV: 'production', NO_COLOR: '1', ASTRO_TELEMETRY_DISABLED: '1' },
    withinMs: 600_000,
    signal: build.signal,
  });
}

/** npm writes down what it installed, last of all. */
async function isInstalled(site: string): Promise<boolean> {
  const [wanted, installed] = await Promise.all(
    ['package-lock.json', 'node_modules/.package-lock.json'].map((name) => textOf(join(site, name))),
  );
  if (wanted === null || installed === null || wanted === undefined || installed === undefined) return false;
  const versions = (text: string) =>
    Object.entries((JSON.parse(text) as { packages: Record<string, { version: string }> }).packages);
  const locked = new Map(versions(wanted).map(([path, { version }]) => [path, version]));
  const found = versions(installed);
  return found.length > 100 && found.every(([path, { version }]) => locked.get(path) === version);
}

async function writeSources(root: string, site: string): Promise<void> {
  const content = join(site, 'src', 'content', 'docs');
  const publicFiles = join(site, 'public');
  await Promise.all([content, publicFiles].map((folder) => rm(folder, { recursive: true, force: true })));
  const placed = placePages(root);
  const slugs = new Map(placed.flatMap(({ pages }) => pages.map(({ file, slug }) => [file, slug] as const)));
  slugs.set('docs/decisions', 'decisions');
  slugs.set('docs', '');
  const mermaid = (await import(
    pathToFileURL(join(site, 'node_modules', 'beautiful-mermaid', 'dist', 'index.js')).href
  )) as { renderMermaidSVG: Parameters<typeof drawDiagram>[0] };
  const titles = new Map<string, string>();
  for (const { file, slug } of placed.flatMap(({ pages }) => pages)) {
    const page = makePage(file, await readFile(join(root, file), 'utf8'), {
      slugs,
      drawDiagram: (source) => drawDiagram(mermaid.renderMermaidSVG, source),
      exists: (path) => existsSync(join(root, path)),
    });
    titles.set(slug, page.title);
    await put(join(content, `${slug === '' ? 'index' : slug}.md`), page.text);
    for (const image of page.images) await cp(join(root, image), join(publicFiles, image.replace(/^docs\//, '')));
  }
  const decisions = placed.find(({ label }) => label === 'Decisions')?.pages ?? [];
  await put(
    join(content, 'decisions', 'index.md'),
    decisionsIndex(decisions.map(({ slug }) => ({ slug, title: titles.get(slug) ?? slug }))),
  );
  await cp(join(root, 'web', 'public', 'favicon.svg'), join(publicFiles, 'favicon.svg'));
  const sidebar = placed.map(({ label, collapsed, pages }) => ({
    label,
    collapsed,
    items: pages.map(({ slug }) => ({ label: titles.get(slug) ?? slug, link: slug === '' ? '/' : `/${slug}/` })),
  }));
  await put(join(site, 'src', 'sidebar.json'), `${JSON.stringify(sidebar, null, 2)}\n`);
}

async function put(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

function textOf(file: string): Promise<string | null> {
  return readFile(file, 'utf8').catch(() => null);
}

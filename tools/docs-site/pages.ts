// Which pages the documentation site has, where each is found in it, and how the repository's Markdown becomes one of them.
import { globSync } from 'node:fs';
import { posix } from 'node:path';

export const sitePath = '/docs/';

interface Section {
  readonly label: string;
  /** Globs of Markdown files, in the order of the sidebar; what is not there yet is left out. */
  readonly files: readonly string[];
  readonly collapsed?: true;
}

/** The sidebar: one section for each kind of reader. */
export const sections: readonly Section[] = [
  { label: 'Start', files: ['docs/README.md', 'docs/installation_guide.md'] },
  {
    label: 'Install an agent',
    files: [
      'docs/agent.md',
      'docs/agent-config.md',
      'docs/agent-services.md',
      'deploy/systemd/README.md',
      'deploy/windows/README.md',
      'deploy/macos/README.md',
      'deploy/tpm/README.md',
      'docs/fleet.md',
      'docs/fleet-scenarios.md',
    ],
  },
  {
    label: 'Operate',
    files: [
      'docs/user_manual.md',
      'docs/operator_api_workflows.md',
      'docs/attestation.md',
      'docs/trust-assertions.md',
      'docs/cli.md',
      'docs/problems.md',
    ],
  },
  {
    label: 'Production',
    files: [
      'docs/production_profile.md',
      'deploy/nginx/README.md',
      'docs/backup.md',
      'docs/runbooks.md',
      'docs/reliability.md',
      'docs/operations.md',
      'docs/metrics.md',
      'docs/settings.md',
    ],
  },
  {
    label: 'Look inside',
    files: [
      'docs/architecture.md',
      'docs/workflows.md',
      'docs/audit.md',
      'docs/performance.md',
      'docs/threat-model.md',
      'docs/reliability.md',
      'docs/glossary.md',
      'CONTRIBUTING.md',
      'SECURITY.md',
    ],
  },
  { label: 'More', files: ['docs/*.md'] },
  { label: 'Decisions', files: ['docs/decisions/*.md'], collapsed: true },
];

export interface PlacedPage {
  /** Path in the repository. */
  readonly file: string;
  /** Path below the site, without slashes around it; empty for the first page. */
  readonly slug: string;
}

export interface PlacedSection {
  readonly label: string;
  readonly collapsed: boolean;
  readonly pages: readonly PlacedPage[];
}

/** Every page at its one place: the first section that names it. */
export function placePages(root: string): PlacedSection[] {
  const placed = new Set<string>();
  return sections
    .map(({ label, files, collapsed = false }) => {
      const found = files
        .flatMap((pattern) => globSync(pattern, { cwd: root }).toSorted())
        .map((file) => file.replaceAll('\\', '/'))
        .filter((file) => !placed.has(file));
      for (const file of found) placed.add(file);
      return { label, collapsed, pages: found.map((file) => ({ file, slug: slugOf(file) })) };
    })
    .filter(({ pages }) => pages.length > 0);
}

/** `docs/settings.md` is `settings`, `deploy/nginx/README.md` is `deploy/nginx`. */
export function slugOf(file: string): string {
  return file
    .replace(/^docs\//, '')
    .replace(/(^|\/)README\.md$/, '')
    .replace(/\.md$/, '')
    .toLowerCase();
}

export interface MadePage {
  readonly title: string;
  /** Front matter and body, as Starlight reads them. */
  readonly text: string;
  /** Images that it shows, by their path in the repository. */
  readonly images: readonly string[];
}

export interface PageSurroundings {
  /** Slug of a page, by the path of its file in the repository. */
  readonly slugs: ReadonlyMap<string, string>;
  readonly drawDiagram: (source: string) => string;
  /** Whether there is a file or folder of this path in the repository. */
  readonly exists: (path: string) => boolean;
}

/**
 * Makes a page of the site from a file that also reads well where the repository is browsed: the heading becomes the
 * title, links between files become links between pages, and diagrams become pictures.
 *
 * @throws RangeError when the file has no heading, or links to nothing
 */
export function makePage(file: string, markdown: string, surroundings: PageSurroundings): MadePage {
  const images: string[] = [];
  const title = /^# (.+)$/m.exec(markdown)?.[1];
  if (title === undefined) throw new RangeError(`${file}: has no heading`);
  const body = markdown.replace(/^# .+\n+/m, '');
  const pieces = body.split(/^( *```[\s\S]*?^ *```) *$/m);
  const made = pieces.map((piece) => {
    const diagram = /^```mermaid\n([\s\S]*)^```$/m.exec(piece)?.[1];
    if (diagram !== undefined) return surroundings.drawDiagram(diagram);
    return piece.trimStart().startsWith('```') ? piece : relink(piece, { file, images, ...surroundings });
  });
  const front = {
    title: plain(title),
    description: descriptionOf(body),
    editUrl: false,
    // A page that is one table has nothing to list, and needs the room.
    ...(/^#{2,3} /m.test(body) ? {} : { tableOfContents: false }),
  };
  const lines = Object.entries(front).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  return { title: front.title, text: ['---', ...lines, '---', '', made.join('')].join('\n'), images };
}

interface Relinking extends Pick<PageSurroundings, 'slugs' | 'exists'> {
  readonly file: string;
  readonly images: string[];
}

function relink(text: string, { file, slugs, exists, images }: Relinking): string {
  const here = posix.dirname(file);
  // Code may look like a link and is none.
  return text.replace(
    /(`+)[^`]+?\1|(!?)\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]+)\)/g,
    (whole, code, mark, label, target) => {
      if (code !== undefined || /^([a-z][a-z+.-]*:|#)/i.test(target as string)) return whole as string;
      const [path = '', anchor = ''] = (target as string).split(/(?=#)/);
      const found = posix.normalize(posix.join(here, path));
      if (!exists(found)) throw new RangeError(`${file}: links to ${target}, and there is no such file`);
      if (mark === '!') {
        images.push(found);
        return `![${label}](${sitePath}${found.replace(/^docs\//, '')})`;
      }
      const slug = slugs.get(found.replace(/\/$/, '')) ?? slugs.get(posix.join(found, 'README.md'));
      if (slug !== undefined) return `[${label}](${sitePath}${slug === '' ? '' : `${slug}/`}${anchor})`;
      // A file that is no page, like a source: on the site there is nothing to open.
      return label as string;
    },
  );
}

function descriptionOf(body: string): string {
  const paragraph = body
    .split(/\n{2,}/)
    .find((part) => /^[A-Za-z“"`*[]/.test(part) && !part.startsWith('```'))
    ?.replaceAll('\n', ' ');
  const text = plain(paragraph ?? '');
  return text.length <= 160 ? text : `${text.slice(0, 157).replace(/\s+\S*$/, '')} …`;
}

function plain(markdown: string): string {
  return markdown
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[`*]/g, '')
    .trim();
}

/** The list of decisions, for links to their folder. */
export function decisionsIndex(pages: readonly { readonly slug: string; readonly title: string }[]): string {
  return [
    '---',
    'title: "Decisions"',
    'description: "Choices that would be costly to undo, each with its reason."',
    'editUrl: false',
    '---',
    '',
    'Choices that would be costly to undo. A page is never edited later, only superseded.',
    '',
    ...pages.map(({ slug, title }) => `- [${title}](${sitePath}${slug}/)`),
    '',
  ].join('\n');
}

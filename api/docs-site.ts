// The documentation site at /docs: for everybody, since it says nothing of this installation, and built by a command of its own.
import { stat } from 'node:fs/promises';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { docsPolicy, setPolicy } from './security-headers.ts';
import { readStaticFiles, sendStaticFile, type StaticFile } from './static-files.ts';

export interface DocsSiteDeps {
  /** The built site. */
  readonly directory: string;
}

interface Site {
  /** Changes when another build took its place. */
  readonly stamp: string;
  readonly files: ReadonlyMap<string, StaticFile>;
  /** Policy of each page, which names the scripts in it, and of each script. */
  readonly policies: ReadonlyMap<string, string>;
}

const base = '/docs';
const missing = `The documentation site has not been built.

Build it with \`npm run build-docs-site\`, then load this page again; nothing has to be started anew.
The same pages are Markdown files in docs/, and the API reference is at /api/docs.
`;
const inlineScript = /<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g;

export const docsSiteRoutes: FastifyPluginAsync<DocsSiteDeps> = async (app, { directory }) => {
  const currentSite = keepCurrent(directory);
  const config = { access: 'public' } as const;

  app.get(base, { config }, async (_request, reply) => reply.redirect(`${base}/`, 308));

  for (const url of [`${base}/`, `${base}/*`]) app.get(url, { config }, answer);

  async function answer(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | void> {
    const site = await currentSite();
    if (site === null) return reply.code(503).type('text/plain; charset=utf-8').send(missing);
    const path = request.url.slice(base.length).replace(/[?#].*$/s, '');
    const name = path.endsWith('/') ? `${path}index.html` : path;
    const send = (at: string, found: StaticFile): FastifyReply => {
      const policy = site.policies.get(at);
      if (policy !== undefined) setPolicy(reply, policy);
      // Names below _astro/ hold a digest of the content.
      return sendStaticFile(request, reply, found, at.startsWith('/_astro/'));
    };
    const file = site.files.get(name);
    if (file !== undefined) return send(name, file);
    if (site.files.has(`${path}/index.html`)) return reply.redirect(`${base}${path}/`, 308);
    const notFound = site.files.get('/404.html');
    const wantsPage = request.headers.accept?.includes('text/html') ?? false;
    if (notFound === undefined || !wantsPage) return reply.callNotFound();
    void reply.code(404);
    return send('/404.html', notFound);
  }
};

/** Reads the site again when another build took its place, once for all who ask meanwhile. */
function keepCurrent(directory: string): () => Promise<Site | null> {
  let held: Promise<Site | null> = Promise.resolve(null);
  return async () => {
    const stamp = await stampOf(directory);
    const site = await held;
    // For a moment of an exchange there is none; the one that was read goes on.
    if (stamp === null || site?.stamp === stamp) return site;
    const now = (held = held.then((before) => (before?.stamp === stamp ? before : readSite(directory, stamp))));
    return now.catch((error: unknown) => {
      held = Promise.resolve(site);
      throw error;
    });
  };
}

async function stampOf(directory: string): Promise<string | null> {
  try {
    const { ino, mtimeMs } = await stat(directory);
    return `${ino}-${mtimeMs}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function readSite(directory: string, stamp: string): Promise<Site | null> {
  const files = await readStaticFiles(directory);
  if (files === null || !files.has('/index.html')) return null;
  // The search runs in a worker, which has the policy of its script.
  const pages = [...files].filter(([path]) => /\.(html|js)$/.test(path));
  return { stamp, files, policies: new Map(pages.map(([path, { body }]) => [path, policyOf(body.toString('utf8'))])) };
}

function policyOf(page: string): string {
  return docsPolicy([...new Set([...page.matchAll(inlineScript)].map(([, script]) => script ?? ''))]);
}

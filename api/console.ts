// The console: one page for every address that is not the API's, its assets for ever, and a nonce for each answer.
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { consolePolicy, isApi, newNonce, setPolicy } from './security-headers.ts';
import { readStaticFiles, sendStaticFile, type StaticFile } from './static-files.ts';

export interface ConsoleDeps {
  /** The built console. */
  readonly directory: string;
}

interface Built {
  /** The page, with `__CSP_NONCE__` where the nonce goes. */
  readonly page: string;
  readonly assets: ReadonlyMap<string, StaticFile>;
}

const noncePlaceholder = '__CSP_NONCE__';
const missing = `The console has not been built.

Start Sentinel with \`npm start\`, which builds it, or build it with \`npx vite build web\`.
The API is here all the same: see /api/docs.
`;

export const consoleRoutes: FastifyPluginAsync<ConsoleDeps> = async (app, { directory }) => {
  const built = await readBuilt(directory);
  const config = { access: 'public' } as const;

  app.get('/*', { config }, async (request, reply) => {
    const path = request.url.replace(/[?#].*$/s, '');
    const asset = built?.assets.get(path);
    // Vite puts a digest of the content into every name under assets/.
    if (asset !== undefined) return sendStaticFile(request, reply, asset, path.startsWith('/assets/'));
    if (!isPageRequest(request, path)) return reply.callNotFound();
    if (built === null) return reply.code(503).type('text/plain; charset=utf-8').send(missing);
    return sendPage(reply, built.page);
  });
};

function sendPage(reply: FastifyReply, page: string): FastifyReply {
  const nonce = newNonce();
  setPolicy(reply, consolePolicy(nonce));
  return reply
    .header('cache-control', 'no-store')
    .type('text/html; charset=utf-8')
    .send(page.replaceAll(noncePlaceholder, nonce));
}

/** What looks like a file at the root is none of the console's pages; further in, a device may be named like one. */
const fileOrElsewhere = /^\/(?:[^/]*\.[^/]*$|assets\/|temporal(?:\/|$))/;

function isPageRequest(request: FastifyRequest, path: string): boolean {
  const accepts = request.headers.accept ?? '*/*';
  const html = accepts.includes('text/html') || accepts.includes('*/*');
  return html && !isApi(request) && !fileOrElsewhere.test(path);
}

async function readBuilt(directory: string): Promise<Built | null> {
  const files = await readStaticFiles(directory);
  const page = files?.get('/index.html');
  if (files === null || page === undefined) return null;
  return { page: page.body.toString('utf8'), assets: new Map([...files].filter(([path]) => path !== '/index.html')) };
}

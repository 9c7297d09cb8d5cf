// The console: one page for every address that is not the API's, its assets for ever, and a nonce for each answer.
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { consolePolicy, isApi, newNonce, setPolicy } from './security-headers.ts';

export interface ConsoleDeps {
  /** The built console. */
  readonly directory: string;
}

interface Asset {
  readonly type: string;
  readonly body: Buffer;
  /** Only where it is smaller. */
  readonly gzipped: Buffer | null;
  readonly forEver: boolean;
}

interface Built {
  /** The page, with `__CSP_NONCE__` where the nonce goes. */
  readonly page: string;
  /** By path. Read once, so that no request ever names a file. */
  readonly assets: ReadonlyMap<string, Asset>;
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.woff2': 'font/woff2',
};
const compressible = /^(text\/|application\/json|image\/svg)/;
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
    if (asset !== undefined) return sendAsset(request, reply, asset);
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

function sendAsset(request: FastifyRequest, reply: FastifyReply, asset: Asset): FastifyReply {
  const zip = asset.gzipped !== null && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  void reply.header('cache-control', asset.forEver ? 'public, max-age=31536000, immutable' : 'no-cache');
  if (asset.gzipped !== null) void reply.header('vary', 'accept-encoding');
  if (zip) void reply.header('content-encoding', 'gzip');
  return reply.type(asset.type).send(zip ? asset.gzipped : asset.body);
}

/** What looks like a file at the root is none of the console's pages; further in, a device may be named like one. */
const fileOrElsewhere = /^\/(?:[^/]*\.[^/]*$|assets\/|temporal(?:\/|$))/;

function isPageRequest(request: FastifyRequest, path: string): boolean {
  const accepts = request.headers.accept ?? '*/*';
  const html = accepts.includes('text/html') || accepts.includes('*/*');
  return html && !isApi(request) && !fileOrElsewhere.test(path);
}

async function readBuilt(directory: string): Promise<Built | null> {
  try {
    const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    );
    const read = await Promise.all(
      files.map(async ({ parentPath, name }) => {
        const file = join(parentPath, name);
        const path = `/${relative(directory, file).split(sep).join('/')}`;
        return [path, toAsset(path, await readFile(file))] as const;
      }),
    );
    const assets = new Map(read.filter(([path]) => path !== '/index.html'));
    return { page: await readFile(join(directory, 'index.html'), 'utf8'), assets };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function toAsset(path: string, body: Buffer): Asset {
  const type = types[extname(path)] ?? 'application/octet-stream';
  const gzipped = compressible.test(type) ? gzipSync(body) : body;
  // Vite puts a digest of the content into every name under assets/.
  return { type, body, gzipped: gzipped.length < body.length ? gzipped : null, forEver: path.startsWith('/assets/') };
}

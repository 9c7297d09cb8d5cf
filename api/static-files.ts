// Files of a built page in memory: by path, each with its type, its digest and a compressed form.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';

export interface StaticFile {
  readonly type: string;
  readonly body: Buffer;
  /** Only where it is smaller. */
  readonly gzipped: Buffer | null;
  readonly etag: string;
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

/** Every file by its path from the folder, with a slash before it. Read once, so that no request ever names a file; `null` without the folder. */
export async function readStaticFiles(directory: string): Promise<ReadonlyMap<string, StaticFile> | null> {
  try {
    const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    );
    return new Map(
      await Promise.all(
        files.map(async ({ parentPath, name }) => {
          const file = join(parentPath, name);
          const path = `/${relative(directory, file).split(sep).join('/')}`;
          return [path, toStaticFile(path, await readFile(file))] as const;
        }),
      ),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function toStaticFile(path: string, body: Buffer): StaticFile {
  const type = types[extname(path)] ?? 'application/octet-stream';
  const gzipped = compressible.test(type) ? gzipSync(body) : body;
  // Weak: it names the content, in whichever form that is sent.
  const etag = `W/"${createHash('sha256').update(body).digest('base64url')}"`;
  return { type, body, gzipped: gzipped.length < body.length ? gzipped : null, etag };
}

/** @param forEver Whether the name changes with the content. */
export function sendStaticFile(
  request: FastifyRequest,
  reply: FastifyReply,
  { type, body, gzipped, etag }: StaticFile,
  forEver: boolean,
): FastifyReply {
  void reply.header('cache-control', forEver ? 'public, max-age=31536000, immutable' : 'no-cache').header('etag', etag);
  if (gzipped !== null) void reply.header('vary', 'accept-encoding');
  if (request.headers['if-none-match']?.split(/\s*,\s*/).includes(etag)) return reply.code(304).send();
  const zip = gzipped !== null && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  if (zip) void reply.header('content-encoding', 'gzip');
  return reply.type(type).send(zip ? gzipped : body);
}

// Which bodies are read at all: JSON in UTF-8, not compressed, and small.
import type { FastifyInstance } from 'fastify';
import { TrustError } from '#contracts/problems.ts';
import { parseStrictJson } from '#protocols/strict-json.ts';

export const bodyLimitBytes = 256 * 1024;

export function registerBodies(app: FastifyInstance): void {
  app.addHook('onRequest', ({ headers }, _reply, done) => {
    const encoding = headers['content-encoding'];
    // A compressed body says nothing about the size of what it holds.
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
      throw new TrustError('request.unsupported_media_type', { detail: 'Send the body without a content encoding' });
    }
    if (!isUtf8(headers['content-type'])) throw new TrustError('request.unsupported_media_type');
    done();
  });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    // Some clients announce JSON and send nothing; routes whose body may be left out take it as that.
    if (body.length === 0) return done(null, undefined);
    try {
      return done(null, parseStrictJson(body));
    } catch (error) {
      return done(error as TrustError);
    }
  });
}

/** For routes whose body has only optional fields: no body is an empty one. */
export async function bodyMayBeLeftOut(request: { body: unknown }): Promise<void> {
  request.body ??= {};
}

function isUtf8(contentType: string | undefined): boolean {
  if (contentType === undefined || contentType === 'application/json') return true;
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1];
  return charset === undefined || charset.toLowerCase() === 'utf-8';
}

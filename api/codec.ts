// POST /api/temporal/codec/decode: shows people what Temporal keeps encrypted. There is no way to encode.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { TrustError } from '#contracts/problems.ts';
import type { WirePayload } from '#protocols/payload-codec.ts';
import { parseStrictJson } from '#protocols/strict-json.ts';
import { requireSameOrigin } from './same-origin.ts';

export interface CodecDeps {
  readonly decode: (payloads: readonly WirePayload[], namespace: string) => readonly WirePayload[];
  readonly namespace: string;
}

/** As Temporal's UI sends them; protobuf's JSON form may add fields, which are of no use here. */
const Payloads = Type.Object({
  payloads: Type.Array(
    Type.Object({
      metadata: Type.Optional(Type.Record(Type.String({ maxLength: 128 }), Type.String())),
      data: Type.Optional(Type.String()),
    }),
    { maxItems: 1000 },
  ),
});

/** One page of a history is a few megabytes in Base64. */
const bodyLimit = 8 * 1024 * 1024;
const jsonLimits = { depth: 8, keys: 20_000 };

export const codecRoutes: FastifyPluginAsyncTypebox<CodecDeps> = async (app, { decode, namespace }) => {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer', bodyLimit },
    async (_request: unknown, body: Buffer) => parseStrictJson(body, jsonLimits),
  );

  app.post(
    '/api/temporal/codec/decode',
    {
      // Temporal's UI sends the cookie and cannot know our token: the browser says that the page is of this origin.
      config: { access: 'workflow.read', csrf: 'own-check', idempotency: 'none', sealing: 'changes-nothing' },
      onRequest: requireSameOrigin,
      bodyLimit,
      schema: {
        operationId: 'decodePayloads',
        tags: ['workflows'],
        summary: 'Decode payloads for Temporal’s UI',
        body: Payloads,
        response: { 200: Payloads },
      },
    },
    async (request) => {
      const asked = request.headers['x-namespace'] ?? namespace;
      if (asked !== namespace)
        throw new TrustError('resource.not_found', { detail: 'There is no such namespace here' });
      return { payloads: [...decode(request.body.payloads as readonly WirePayload[], namespace)] as never };
    },
  );
};

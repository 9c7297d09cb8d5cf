// Checks what comes in against its TypeBox schema: bodies exactly as they are, query parameters read from their text.
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

const wholeNumber = /^(0|[1-9][0-9]{0,15})$/;

/** Compiles each schema once, at registration. Nothing is coerced, removed or filled in, but for the text of a query. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  return (value: unknown) => {
    const read = httpPart === 'querystring' ? readQuery(schema, value) : value;
    // Only the first NUL would end a name in a C library behind us, but no name of ours has one at all.
    const clean = httpPart === 'body' || !Object.values(read as object).some(hasNul);
    if (clean && validator.Check(read)) return { value: read };
    return { error: clean ? (validator.Errors(read) as never) : [nulError] };
  };
};

const nulError = { keyword: 'text', instancePath: '', schemaPath: '', params: {}, message: 'must not contain NUL' };

function hasNul(value: unknown): boolean {
  return Array.isArray(value) ? value.some(hasNul) : typeof value === 'string' && value.includes('\0');
}

/** Gives integers and booleans of a query their type; whatever is not exactly one stays text, and is refused by the schema. */
function readQuery(schema: TSchema, query: unknown): Record<string, unknown> {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> };
  return Object.fromEntries(
    Object.entries(query as Record<string, unknown>).map(([name, text]) => [
      name,
      readValue(properties[name]?.type, text),
    ]),
  );
}

function readValue(type: string | undefined, text: unknown): unknown {
  if (typeof text !== 'string') return text;
  if (type === 'integer' && wholeNumber.test(text)) return Number(text);
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

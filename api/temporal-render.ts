// GET /temporal/render: what a workflow says of itself, as a page that Temporal's UI frames.
//
// The UI leaves Markdown to a page of its own server, which that does not have under a prefix. This one has no script.
import type { FastifyInstance } from 'fastify';
import { framedPolicy, newNonce, setPolicy } from './security-headers.ts';

/** Longer texts are cut; details of ours have some hundred characters. */
const maximumCharacters = 8_000;

/** Whoever registers it has seen to who may ask. */
export function registerRenderer(app: FastifyInstance): void {
  app.get<{ Querystring: Readonly<Record<string, unknown>> }>(
    '/temporal/render',
    { config: { access: 'public', idempotency: 'none' } },
    async ({ query: { content, theme } }, reply) => {
      const nonce = newNonce();
      setPolicy(reply, framedPolicy(nonce));
      void reply.header('x-frame-options', 'SAMEORIGIN').type('text/html; charset=utf-8');
      const text = typeof content === 'string' ? content.slice(0, maximumCharacters) : '';
      const [ink, paper] = theme === 'dark' ? ['#f8fafc', '#141414'] : ['#141414', '#f8fafc'];
      return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Details</title>
<style nonce="${nonce}">
body { margin: 0; padding: 8px 12px; font: 14px/1.5 sans-serif; color: ${ink}; background: ${paper}; overflow-wrap: anywhere }
p, ul { margin: 0 0 8px } ul { padding-left: 20px } code { font-family: monospace }
</style></head><body>
${markdownToHtml(text)}
</body></html>
`;
    },
  );
}

/** Paragraphs, lists, bold and code: what the details of our workflows are made of. Everything else is text. */
export function markdownToHtml(text: string): string {
  const blocks: string[] = [];
  let items: string[] = [];
  const endList = (): void => {
    if (items.length > 0) blocks.push(`<ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul>`);
    items = [];
  };
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('- ')) {
      items.push(inline(line.slice(2)));
      continue;
    }
    endList();
    if (line.trim() !== '') blocks.push(`<p>${inline(line)}</p>`);
  }
  endList();
  return blocks.join('\n');
}

function inline(text: string): string {
  return text
    .split('`')
    .map((part, index, parts) => {
      const safe = escaped(part);
      // An odd mark at the end encloses nothing.
      if (index % 2 === 1) return index === parts.length - 1 ? `\`${safe}` : `<code>${safe}</code>`;
      return safe.replaceAll(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>');
    })
    .join('');
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

// Finishes built pages: style attributes become classes, since the API's policy allows none, and what scrolls can be reached by keyboard.
import { createHash } from 'node:crypto';
import { glob, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const sheet = '_astro/attributes';

/** Changes all pages of the folder, and adds the one style sheet that they share. */
export async function finishPages(directory: string): Promise<void> {
  const rules = new Map<string, string>();
  const pages = new Map<string, string>();
  for await (const name of glob('**/*.html', { cwd: directory })) {
    const file = join(directory, name);
    pages.set(file, breakable(scrollable(stylesAsClasses(await readFile(file, 'utf8'), rules))));
  }
  const css = [...rules].map(([style, name]) => `.${name}{${style}}`).join('\n');
  const digest = createHash('sha256').update(css).digest('base64url').slice(0, 8);
  await writeFile(join(directory, `${sheet}.${digest}.css`), css);
  const link = `<link rel="stylesheet" href="/docs/${sheet}.${digest}.css">`;
  for (const [file, page] of pages) await writeFile(file, page.replace('</head>', `${link}</head>`));
}

/** @param rules Class of each style; new ones are added. */
export function stylesAsClasses(page: string, rules: Map<string, string>): string {
  return page.replace(
    // A tag with its attributes; scripts are passed over whole, since their text may look like tags.
    /<script\b[\s\S]*?<\/script>|<[a-z][a-z0-9-]*(?:\s+[^\s"'>=/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+))?|\s*\/)*\s*>/gi,
    (tag) => {
      const style = tag.startsWith('<script') ? undefined : /\sstyle=(?:"([^"]*)"|'([^']*)')/i.exec(tag);
      if (style === undefined || style === null) return tag;
      const text = (style[1] ?? style[2] ?? '').replaceAll('&quot;', '"').replaceAll('&#38;', '&');
      const name = rules.get(text) ?? `sa-${rules.size.toString(36)}`;
      rules.set(text, name);
      const bare = tag.replace(style[0], '');
      return /\sclass="/.test(bare)
        ? bare.replace(/\sclass="/, (found) => `${found}${name} `)
        : bare.replace(/^<[a-z][a-z0-9-]*/i, (found) => `${found} class="${name}"`);
    },
  );
}

/** Wide tables and code scroll by themselves; who has no mouse goes there by Tab. */
function scrollable(page: string): string {
  return page.replace(/<(table|pre)(?=[\s>])(?![^>]*tabindex)/g, '<$1 tabindex="0"');
}

/** Long names of rows may break where their parts meet. */
function breakable(page: string): string {
  return page.replace(/(<a id="[^"]+"><\/a><code[^>]*>)([^<]+)/g, (_, before: string, name: string) => {
    return before + name.replaceAll(/[_.]/g, '$&<wbr>');
  });
}

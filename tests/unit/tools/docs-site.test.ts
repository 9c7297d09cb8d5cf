// How the repository's Markdown becomes pages of the site, and what their building leaves nothing of.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type LockFile, missingEntries } from '#tools/complete-lock.ts';
import { drawDiagram } from '#tools/docs-site/diagram.ts';
import { stylesAsClasses } from '#tools/docs-site/finish-pages.ts';
import { makePage, placePages, slugOf } from '#tools/docs-site/pages.ts';

const slugs = new Map([
  ['docs/README.md', ''],
  ['docs/settings.md', 'settings'],
  ['docs/decisions', 'decisions'],
  ['deploy/nginx/README.md', 'deploy/nginx'],
]);
const make = (body: string, file = 'docs/a.md') =>
  makePage(file, `# A \`title\`\n\n${body}\n`, {
    slugs,
    drawDiagram: (source) => `<${source.trim()}>`,
    exists: (path) => !path.includes('gone'),
  });

describe('a page of the documentation site', () => {
  it('has the heading as its title and the first paragraph as its description', () => {
    const { title, text } = make('Says *what* it\nis.\n\n## More');
    assert.equal(title, 'A title');
    assert.match(text, /^---\ntitle: "A title"\ndescription: "Says what it is\."\n/);
    assert.doesNotMatch(text, /^# /m);
  });

  it('links to pages where the file links to files (DC-03)', () => {
    for (const [link, made] of [
      ['[x](settings.md)', '[x](/docs/settings/)'],
      ['[x](settings.md#SENTINEL_HOME)', '[x](/docs/settings/#SENTINEL_HOME)'],
      ['[x](../deploy/nginx/README.md)', '[x](/docs/deploy/nginx/)'],
      ['[x](decisions/)', '[x](/docs/decisions/)'],
      ['[`x`](README.md)', '[`x`](/docs/)'],
      ['[x](#more)', '[x](#more)'],
      ['[x](https://example.com/a.md)', '[x](https://example.com/a.md)'],
      ['`[x](settings.md)`', '`[x](settings.md)`'],
      ['[`machines/a.ts`](../machines/a.ts)', '`machines/a.ts`'],
    ] as const)
      assert.ok(make(link).text.includes(`\n${made}\n`), `${link}: ${make(link).text}`);
  });

  it('links to nothing that is not there', () => {
    for (const link of ['[x](gone.md)', '[x](gone.md#a)', '![x](gone.png)', '[x](../machines/gone.ts)'])
      assert.throws(() => make(link), RangeError, link);
  });

  it('names the images that it shows, and leaves code alone', () => {
    const { text, images } = make('![fleet](console/fleet.png)\n\n```sh\n[x](settings.md)\n```');
    assert.deepEqual(images, ['docs/console/fleet.png']);
    assert.match(text, /!\[fleet\]\(\/docs\/console\/fleet\.png\)/);
    assert.match(text, /```sh\n\[x\]\(settings\.md\)\n```/);
  });

  it('shows a diagram as it is drawn, and refuses a file without a heading', () => {
    assert.match(make('```mermaid\nflowchart\n```').text, /\n<flowchart>\n/);
    assert.throws(() => makePage('a.md', 'text', { slugs, drawDiagram: String, exists: () => true }), RangeError);
  });

  it('has one place, by the name of its file', () => {
    const files = placePages(process.cwd()).flatMap(({ pages }) => pages.map(({ file }) => file));
    assert.equal(new Set(files).size, files.length);
    assert.equal(slugOf('docs/README.md'), '');
    assert.equal(slugOf('SECURITY.md'), 'security');
    assert.equal(slugOf('deploy/nginx/README.md'), 'deploy/nginx');
  });
});

describe('a diagram', () => {
  const source = 'flowchart TB\n  accTitle: T "x"\n  accDescr: D\n  a --> b\n';
  const drawn = (inside: string) => () =>
    `<svg style="--bg:#fff">\n<style>@import url(https://f.example)</style>\n${inside}\n</svg>`;

  it('becomes a picture with words, without style and script', () => {
    const figure = drawDiagram(drawn('<g/>'), source);
    assert.match(figure, /<svg role="img" aria-label="T &quot;x&quot;\. D"><g\/><\/svg>/);
    assert.doesNotMatch(figure, /style|https:/);
  });

  it('is refused without words, or with anything that runs or calls', () => {
    assert.throws(() => drawDiagram(drawn('<g/>'), 'flowchart TB\n'), RangeError);
    for (const inside of ['<script>x</script>', '<g style="a"/>', '<image href="https://f.example/x"/>'])
      assert.throws(() => drawDiagram(drawn(inside), source), RangeError, inside);
  });
});

describe('a finished page', () => {
  it('has a class for each style, the same for the same', () => {
    const rules = new Map<string, string>();
    const page = stylesAsClasses(
      '<p style="a:1">x</p><i class="k" style=\'b:&quot;2&quot;\'></i><b data-x="a > b" style="a:1"/><script>"<p style=\\"c\\">"</script>',
      rules,
    );
    assert.equal(
      page,
      '<p class="sa-0">x</p><i class="sa-1 k"></i><b class="sa-0" data-x="a > b"/><script>"<p style=\\"c\\">"</script>',
    );
    assert.deepEqual(
      [...rules],
      [
        ['a:1', 'sa-0'],
        ['b:"2"', 'sa-1'],
      ],
    );
  });
});

describe('docs/site/package-lock.json', () => {
  it('has an entry for every optional package of every platform', () => {
    const lock = JSON.parse(readFileSync('docs/site/package-lock.json', 'utf8')) as LockFile;
    assert.deepEqual(missingEntries(lock), {}, 'in docs/site: node ../../tools/complete-lock.ts adds them');
  });
});

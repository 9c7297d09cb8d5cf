// Draws the Mermaid diagrams of a page while the site is built: an SVG in the page's own colours, without script or style.

type Draw = (source: string, options: { readonly padding: number; readonly transparent: boolean }) => string;

/**
 * @param draw Of the package beautiful-mermaid, which is installed beside the site.
 * @returns The figure; what it shows is said by `accTitle` and `accDescr` of the diagram, for who cannot see it.
 */
export function drawDiagram(draw: Draw, source: string): string {
  const said = [...source.matchAll(/^\s*acc(?:Title|Descr): *(.+)$/gm)].map(([, text]) => text);
  if (said.length === 0) throw new RangeError(`a diagram needs accTitle and accDescr:\n${source}`);
  const drawing = draw(source.replace(/^\s*acc(?:Title|Descr):.*\n/gm, ''), { padding: 8, transparent: true })
    // It would load a font from another host, and sets variables that our style sheet sets.
    .replace(/<style>[\s\S]*?<\/style>\s*/, '')
    .replace(/ style="[^"]*"/, ` role="img" aria-label="${escape(said.join('. '))}"`);
  if (/<style|<script|https?:(?!\/\/www\.w3\.org\/)| style="/.test(drawing))
    throw new RangeError('a diagram holds style, script or another host');
  // One line: an empty line would end the HTML block.
  return `<div class="diagram" tabindex="0" role="group" aria-label="Diagram">${drawing.replaceAll(/\n\s*/g, '')}</div>\n`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
}

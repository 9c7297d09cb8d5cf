// Strict reader for the textual encoding of RFC 7468: blocks of one label, and white space between them, nothing else.
import { Malformed } from './malformed.ts';

/**
 * @param label   What must stand after BEGIN and END, such as `CERTIFICATE`.
 * @param maximum Blocks that are accepted, and bytes that each may hold once decoded.
 * @throws Malformed
 */
export function readPem(text: string, label: string, maximum: { blocks: number; bytes: number }): Buffer[] {
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  const blocks: Buffer[] = [];
  let rest = text.trimStart();
  while (rest !== '') {
    if (blocks.length === maximum.blocks) throw new Malformed(`more than ${maximum.blocks} PEM blocks`);
    const stop = rest.indexOf(end);
    if (!rest.startsWith(begin) || stop < 0) throw new Malformed(`something else than PEM blocks labelled ${label}`);
    blocks.push(readBase64(rest.slice(begin.length, stop), maximum.bytes));
    rest = rest.slice(stop + end.length).trimStart();
  }
  return blocks;
}

function readBase64(body: string, maximumBytes: number): Buffer {
  // Two characters for each byte leave room for line ends; longer bodies are not even looked at.
  if (body.length > maximumBytes * 2 + 64) throw new Malformed('the PEM block is too large');
  const text = body.replaceAll(/[ \t\r\n]/g, '');
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === 0 || bytes.length > maximumBytes) throw new Malformed('the PEM block is empty or too large');
  // Node's decoder skips what it does not know, so only text that comes back the same is Base64.
  if (bytes.toString('base64') !== text) throw new Malformed('the PEM block is not Base64');
  return bytes;
}

/** Writes one block, with a line break at its end (RFC 7468 §3). */
export function writePem(der: Buffer, label: string): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

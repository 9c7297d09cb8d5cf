// Archives that are the same bytes whenever and by whomever they are made.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { pack } from 'tar-stream';

export interface BundleFile {
  readonly name: string;
  readonly content: Buffer;
  readonly isExecutable?: boolean;
}

/** How much is compressed and unpacked at once: in the usual 16 kB, a Node is ten thousand pieces. */
export const chunkSize = 1_048_576;

/** A compressed archive of the files, in the order of their names, below one folder. */
export async function archiveOf(folder: string, files: readonly BundleFile[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, content, isExecutable = false } of inOrder(files)) {
    const owner = { uid: 0, gid: 0, uname: 'root', gname: 'root' };
    tar.entry({ name: `${folder}/${name}`, mode: isExecutable ? 0o755 : 0o644, mtime: new Date(0), ...owner }, content);
  }
  tar.finalize();
  return promisify(gzip)(await bytesOf(tar), { chunkSize });
}

/** All of a stream. The `buffer` of Node makes a blob of it first, which copies it twice more. */
export async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** What `sha256sum --check` reads. */
export function sumsOf(files: readonly BundleFile[]): Buffer {
  return Buffer.from(
    inOrder(files)
      .map(({ name, content }) => `${sha256(content)}  ${name}\n`)
      .join(''),
  );
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function inOrder(files: readonly BundleFile[]): BundleFile[] {
  return files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

// The pair that signs measurements: two files that have to belong together.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import { FileProblem, fileProblem } from '../file-problem.ts';

export interface KeyPaths {
  readonly privatePath: string;
  readonly publicPath: string;
}

const largestKeyBytes = 16 * 1024;

/**
 * Reads the private key, and makes sure that the public one is its other half.
 *
 * @throws FileProblem whose words hold nothing of the files
 */
export async function readSigningKey({ privatePath, publicPath }: KeyPaths): Promise<KeyObject> {
  const key = await readEd25519Key(privatePath, 'private');
  const other = await readEd25519Key(publicPath, 'public');
  if (!createPublicKey(key.export({ type: 'pkcs8', format: 'pem' })).equals(other))
    throw new FileProblem(
      publicPath,
      `is not the public half of ${privatePath}`,
      'Take the two that were made together.',
    );
  return key;
}

/** @throws FileProblem */
export async function readEd25519Key(path: string, half: 'private' | 'public'): Promise<KeyObject> {
  const key = parseKey(await readText(path), half);
  if (key?.asymmetricKeyType === 'ed25519') return key;
  throw new FileProblem(
    path,
    `is no Ed25519 ${half} key in PEM form`,
    'Make a pair with: sentinel ca attestation-key --out DIR',
  );
}

function parseKey(pem: string, half: 'private' | 'public'): KeyObject | null {
  try {
    // A public key can be made from a private one, which must not lie where a public one is expected.
    if (half === 'public' && pem.includes('PRIVATE KEY')) return null;
    return half === 'private' ? createPrivateKey(pem) : createPublicKey(pem);
  } catch {
    return null;
  }
}

/** No more of it than a key can need: the file may be replaced by something endless. */
async function readText(path: string): Promise<string> {
  try {
    const handle = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(largestKeyBytes), 0, largestKeyBytes, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileProblem(path, error);
  }
}

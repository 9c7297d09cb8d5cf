// Looks for secrets where none may be: each in every form that a text is likely to take on its way.
import { createPrivateKey } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { settings } from '#contracts/settings.ts';
import { environmentOfProcess } from './second-api.ts';
import type { Stack } from './stack.ts';

/** By what they are called in a failure; never shown themselves. */
export type Canaries = ReadonlyMap<string, string>;
/** Everything that is searched, by name. */
export type Places = ReadonlyMap<string, Buffer>;

/** Shorter ones would be found by chance. */
const shortest = 12;

/** A secret as it is, and as JSON, an address, Base64 and hexadecimal show it, wherever in a longer text it began. */
export function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const forms = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), escapedTwice(secret)];
  for (const encoding of ['base64', 'base64url'] as const) {
    for (let before = 0; before < 3; before += 1) {
      // What shares a group of four characters with its neighbours depends on them.
      const text = Buffer.concat([Buffer.alloc(before), bytes, Buffer.alloc((3 - ((before + bytes.length) % 3)) % 3)]);
      const encoded = text.toString(encoding).replaceAll('=', '');
      forms.push(encoded.slice(before === 0 ? 0 : 4, -4));
    }
  }
  forms.push(bytes.toString('hex'), bytes.toString('hex').toUpperCase());
  return [...new Set(forms)].filter((form) => form.length >= shortest);
}

const escapedTwice = (secret: string): string => JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1);

/** Which secret is where; empty when all is well. */
export function findCanaries(canaries: Canaries, places: Places): string[] {
  const found: string[] = [];
  for (const [name, secret] of canaries) {
    if (secret.length < shortest) throw new TypeError(`${name} is too short to be told from chance`);
    const forms = formsOf(secret);
    for (const [place, bytes] of places)
      if (forms.some((form) => bytes.includes(form))) found.push(`${name} in ${place}`);
  }
  return found;
}

/** Every secret that the processes of an installation were given or keep in files. */
export async function secretsOf(stack: Stack): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const part of ['api', 'worker', 'sealer']) {
    const environment = await environmentOfProcess(stack.instance.pids[part]);
    for (const [name, setting] of Object.entries(settings)) {
      const value = environment[name];
      if (!('secret' in setting) || value === undefined) continue;
      for (const [index, secret] of partsOf(name, value).entries()) found.set(`${name} of ${part} ${index}`, secret);
    }
  }
  for (const folder of ['secrets', 'ca']) {
    for (const name of await readdir(join(stack.home, folder))) {
      const text = await readFile(join(stack.home, folder, name), 'utf8');
      if (/\.crt$|\.pub$/.test(name) || text.includes('BEGIN CERTIFICATE')) continue;
      for (const [index, secret] of secretLines(text).entries()) found.set(`${folder}/${name} ${index}`, secret);
      if (!text.includes('PRIVATE KEY')) continue;
      // As a JWK has it, whose bytes begin in the middle of a group of those of the PEM.
      const { d } = createPrivateKey(text).export({ format: 'jwk' });
      if (d !== undefined) found.set(`${folder}/${name} as a JWK`, d);
    }
  }
  return found;
}

/** What is secret of a setting's value: the password of an address, the keys and hashes inside of JSON. */
function partsOf(name: string, value: string): string[] {
  if (URL.canParse(value)) {
    const { password } = new URL(value);
    return password === '' ? [] : [decodeURIComponent(password)];
  }
  if (!/^[[{]/.test(value)) return [value];
  const texts: string[] = [];
  JSON.parse(value, (key: string, part: unknown) => {
    if (typeof part === 'string' && (name.endsWith('KEYS_JSON') || /hash|secret|key/.test(key))) texts.push(part);
    return part;
  });
  return texts;
}

/** The first line of a key in PEM, which holds private bytes and none of the public key; or the one line of a token. */
export function secretLines(text: string): string[] {
  if (text.trim().startsWith('{')) return partsOf('KEYS_JSON', text).filter((part) => part.length >= 40);
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line, index) => line.length >= 16 && !line.includes('-----') && index <= 1).slice(0, 1);
}

/** Every row of every table, as text. */
export async function databaseText(stack: Stack): Promise<Buffer> {
  const client = await stack.database.connect();
  try {
    await client.query(`SELECT set_config('sentinel.project', 'default', false)`);
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables
       WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
    );
    const parts: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(`SELECT to_jsonb(t)::text AS row FROM ${name} t`);
      parts.push(name, ...rows.map(({ row }) => row));
    }
    return Buffer.from(parts.join('\n'));
  } finally {
    client.release(true);
  }
}

/** All files of a folder, as they are on the disk. */
export async function filesIn(folder: string): Promise<[string, Buffer][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map(async (file): Promise<[string, Buffer]> => [file, await readFile(file)]));
}

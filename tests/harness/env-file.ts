// `.env` as somebody makes it who follows the production profile: the example, filled in.
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';

/** What the example asks for; its people come from a list, and not as a single administrator. */
export function secretSettings(): Record<string, string> {
  const secret = (): string => randomBytes(32).toString('base64url');
  return {
    SENTINEL_SECRET_KEY: secret(),
    SENTINEL_JWT_SECRET: secret(),
    SENTINEL_DATA_ENCRYPTION_KEYS_JSON: JSON.stringify({ 'key-1': secret() }),
    SENTINEL_MONITORING_BEARER_TOKEN: secret(),
    SENTINEL_ADMIN_USERNAME: '',
    SENTINEL_ADMIN_PASSWORD_HASH: '',
  };
}

/** An empty value leaves a setting out. */
export async function fillInEnvFile(file: string, settings: Readonly<Record<string, string>>): Promise<void> {
  let text = await readFile(new URL('../../.env.example', import.meta.url), 'utf8');
  for (const [name, value] of Object.entries(settings)) {
    const line = new RegExp(`^#?${name}=.*$`, 'm');
    if (!line.test(text)) throw new RangeError(`.env.example does not have ${name}`);
    text = text.replace(line, () => (value === '' ? `#${name}=` : `${name}='${value}'`));
  }
  await writeFile(file, text, { mode: 0o600 });
}

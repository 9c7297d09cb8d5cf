// Where secrets come from and how they are compared, read from the sources: a new place fails here until it is judged.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createRequestIds } from '#api/request-id.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { newPassword } from '#start/accounts.ts';
import { newToken } from '#start/secrets.ts';

const root = join(import.meta.dirname, '../../..');
const folders = [
  'activities',
  'agent',
  'api',
  'cli',
  'client',
  'contracts',
  'deploy',
  'host',
  'machines',
  'protocols',
  'start',
  'store',
  'telemetry',
  'web',
  'worker',
  'workflows',
];
const lines = folders
  .flatMap((folder) => globSync(`${folder}/**/*.{ts,tsx,mjs}`, { cwd: root, exclude: ['web/dist/**'] }))
  .toSorted()
  .flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .map((text) => ({ file, text: text.trim() }))
      .filter(({ text }) => !/^(\/\/|\*|\/\*)/.test(text)),
  );
const linesWith = (form: RegExp): string[] =>
  lines.filter(({ text }) => form.test(text)).map(({ file, text }) => `${file}: ${text}`);

/** Bits of what is secret; 0 where nothing is, and nothing depends on its being hard to guess. */
const draws: Readonly<Record<string, number>> = {
  'api/actors.ts: (random.bytes(1)': 0,
  'api/admission.ts: random.bytes(2)': 0,
  'api/attestation.ts: random.bytes(nonceBytes)': 256,
  'api/certificate-status.ts: random.bytes(32)': 256,
  'api/request-id.ts: random.bytes(idBytes * idsDrawn)': 0,
  'api/security-headers.ts: randomBytes(18)': 144,
  'agent/heartbeat-schedule.ts: random.bytes(3)': 0,
  'client/request.ts: (random.bytes(1)': 0,
  'contracts/deps.ts: bytes: (size) => crypto.getRandomValues(': 0,
  'protocols/development-ca.ts: random.bytes(16)': 126,
  'protocols/key-activation.ts: random.bytes(secretBytes)': 256,
  'protocols/payload-codec.ts: randomBytes(ivBytes)': 96,
  // As long as the hash of the endorsement key: 256 bits or more.
  'protocols/tpm-credential.ts: random.bytes(nameHash.bytes)': 256,
  'start/accounts.ts: random.bytes(18)': 144,
  'start/ports.ts: randomInt(': 0,
  'start/postgres.ts: randomBytes(6)': 0,
  'start/private-file.ts: randomBytes(6)': 0,
  'start/secrets.ts: random.bytes(32)': 256,
};
/** Nonces that need not be secret, only never the same again. */
const unique = new Set([
  'protocols/payload-codec.ts: randomBytes(ivBytes)',
  'protocols/development-ca.ts: random.bytes(16)',
]);

describe('secrets', () => {
  it('never come from Math.random (SA-28)', () => {
    // Both spread load. Within a workflow it is Temporal's, the same at every replay.
    assert.deepEqual(linesWith(/Math\.random\b/), [
      'web/frame/live-status.tsx: random: Math.random,',
      `workflows/reconcile.ts: await sleep(500 + Math.floor(Math.random() * 1000), { summary: 'pause between pages' });`,
    ]);
  });

  it('never come from the clock, a counter or the name of a process (SA-28)', () => {
    const named =
      /(secret|token|nonce|password|\bpin\b|salt|\bkey\b)\w*\s*[:=][^=>;]*(Date\.now|new Date\(|performance\.now|hrtime|process\.pid)/i;
    assert.deepEqual(linesWith(named), []);
  });

  it('come from the system’s generator with at least 128 bits, wherever bytes are drawn (SA-28)', () => {
    const found = linesWith(/\b(random\.bytes|randomBytes|getRandomValues|randomInt|pseudoRandomBytes)\(/).filter(
      // Advice for people, and devices that are made up.
      (line) => !line.includes('node -p') && !line.startsWith('agent/fleet/'),
    );
    const places = Object.keys(draws);
    const placeOf = (line: string): string | undefined =>
      places.find((place) => {
        const [file, text] = splitOnce(place);
        return line.startsWith(`${file}: `) && line.includes(text);
      });
    assert.deepEqual(
      found.filter((line) => placeOf(line) === undefined),
      [],
      'say here what it is for',
    );
    assert.deepEqual(
      places.filter((place) => !found.some((line) => placeOf(line) === place)),
      [],
      'these are gone',
    );
    for (const [place, bits] of Object.entries(draws))
      assert.ok(bits === 0 || bits >= 128 || unique.has(place), `${place}: ${bits} bits are too few`);
  });

  it('are compared in constant time: none by an operator (SA-28)', () => {
    const compared =
      /(secret|token|password|signature|csrf|hmac|\bmac\b|authorization)[A-Za-z0-9_]*\)? (===|!==) (?!undefined|null|''|'[a-zA-Z. -]+'|0|-1|typeof|signature\.scheme)/i;
    assert.deepEqual(linesWith(compared), []);
  });

  const generators: Readonly<
    Record<string, { readonly make: () => string; readonly letters: number; readonly bits: number }>
  > = {
    newToken: { make: () => newToken(systemRandom), letters: 64, bits: 256 },
    newPassword: { make: () => newPassword(systemRandom).replaceAll('-', ''), letters: 16, bits: 144 },
    'systemRandom.bytes': { make: () => Buffer.from(systemRandom.bytes(16)).toString('hex'), letters: 16, bits: 128 },
  };
  for (const [name, { make, letters, bits }] of Object.entries(generators)) {
    it(`of ${name} are never the same and show no pattern (SA-28)`, () => {
      const made = Array.from({ length: 4000 }, make);
      assert.equal(new Set(made).size, made.length);
      assert.ok(made.every((text) => text.length * Math.log2(letters) >= bits));
      // Chi-square over all letters. Base64url's last letter holds fewer bits, so it is left out.
      const text = made.map((one) => one.slice(0, -1)).join('');
      const counts = new Map<string, number>();
      for (const letter of text) counts.set(letter, (counts.get(letter) ?? 0) + 1);
      const mean = text.length / letters;
      const chi = [...counts.values()].reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
      assert.equal(counts.size, letters);
      // Ten standard deviations above what chance gives: once in more runs than there will ever be.
      assert.ok(chi < letters - 1 + 10 * Math.sqrt(2 * letters), `chi-square is ${chi.toFixed(1)}`);
    });
  }

  it('are none of the ids of requests, which are in order and yet never the same', () => {
    const next = createRequestIds({ clock: systemClock, random: systemRandom });
    assert.equal(new Set(Array.from({ length: 10_000 }, () => next())).size, 10_000);
  });
});

function splitOnce(text: string): [string, string] {
  const at = text.indexOf(': ');
  return [text.slice(0, at), text.slice(at + 2)];
}

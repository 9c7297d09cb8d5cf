// Password hashes: argon2id for everything new (RFC 9106); Werkzeug's scrypt and PBKDF2 are read, to be replaced at sign-in.
import { pbkdf2, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { hash as argon2Hash, verify as argon2Verify } from '@node-rs/argon2';
import { TrustError } from '#contracts/problems.ts';
import { sameSecret } from './constant-time.ts';

/** What the field agrees on: 19 MiB, two passes, one lane. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1, outputLen: 32 } as const;

const maximumPasswordBytes = 1024;
const maximumHashLength = 512;
/** Hashing takes a thread of libuv's four for a tenth of a second: some must stay free for files and names. */
const maximumAtOnce = 2;
/** About three seconds of waiting; who comes after that is told to come back. */
const maximumWaiting = 64;

/** A hash nobody has the password of, as dear to verify as those that are made here. */
const nobodysHash = '$argon2id$v=19$m=19456,t=2,p=1$wYTC+uu/OhB43MJKLiqbRA$moBBEcQggDhE8H3RixprqKIvMO0OGfS59XscOa76zxM';

export interface PasswordVerdict {
  readonly valid: boolean;
  /** The password was right and should be hashed again, with today's algorithm and cost. */
  readonly needsRehash: boolean;
}
const invalid: PasswordVerdict = { valid: false, needsRehash: false };

/** @throws TrustError `request.invalid` when it is empty, longer than 1024 bytes or not well-formed text; `service.overloaded` */
export async function hashPassword(password: string): Promise<string> {
  if (!isHashable(password)) throw new TrustError('request.invalid', { detail: 'This cannot be a password' });
  return takingTurns(async () => argon2Hash(password, cost));
}

/**
 * Tells whether a password fits a hash: a PHC string of argon2id, or what Werkzeug writes (`scrypt:…$salt$hex`,
 * `pbkdf2:sha256:…$salt$hex`). A hash of another form, or that would cost more than any of ours should, fits nothing.
 *
 * @throws TrustError `service.overloaded`
 */
export async function verifyPassword(hash: string, password: string): Promise<PasswordVerdict> {
  const scheme = hash.length <= maximumHashLength ? readHash(hash) : null;
  if (scheme === null || !isHashable(password)) return invalid;
  const valid = await takingTurns(async () => scheme.fits(password).catch(() => false));
  return valid ? { valid, needsRehash: scheme.outdated } : invalid;
}

/** Takes as long as the password of somebody who exists, and fits nobody. Call it when there is no such user. */
export async function verifyUnknownUser(password: string): Promise<PasswordVerdict> {
  await verifyPassword(nobodysHash, password);
  return invalid;
}

interface Scheme {
  readonly outdated: boolean;
  fits(password: string): Promise<boolean>;
}

const argon2Form = /^\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,2}),p=(\d)\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$/;
const scryptForm = /^scrypt:(\d{1,6}):(\d{1,2}):(\d)\$([^$]{1,64})\$((?:[0-9a-f]{2}){32,64})$/;
const pbkdf2Form = /^pbkdf2:(sha256|sha512):(\d{1,7})\$([^$]{1,64})\$((?:[0-9a-f]{2}){32,64})$/;

function readHash(hash: string): Scheme | null {
  return readArgon2(hash) ?? readScrypt(hash) ?? readPbkdf2(hash);
}

function readArgon2(hash: string): Scheme | null {
  const [memory = 0, passes = 0, lanes = 0] = argon2Form.exec(hash)?.slice(1).map(Number) ?? [];
  const affordable = memory >= 8 && memory <= 131_072 && passes >= 1 && passes <= 10 && lanes >= 1 && lanes <= 8;
  if (!affordable) return null;
  const outdated = memory !== cost.memoryCost || passes !== cost.timeCost || lanes !== cost.parallelism;
  return { outdated, fits: async (password) => argon2Verify(hash, password) };
}

function readScrypt(hash: string): Scheme | null {
  const [, n, r, p, salt = '', hex = ''] = scryptForm.exec(hash) ?? [];
  const [N, blockSize, lanes] = [Number(n), Number(r), Number(p)];
  const memory = 128 * N * blockSize * lanes;
  const affordable = N >= 2 && (N & (N - 1)) === 0 && blockSize >= 1 && lanes >= 1 && memory <= 128 * 1024 * 1024;
  if (!affordable) return null;
  const derive = promisify<string, string, number, object, Buffer>(scrypt);
  return {
    outdated: true,
    fits: async (password) => {
      const options = { N, r: blockSize, p: lanes, maxmem: memory + 1024 * 1024 };
      return sameSecret(await derive(password, salt, hex.length / 2, options), Buffer.from(hex, 'hex'));
    },
  };
}

function readPbkdf2(hash: string): Scheme | null {
  const [, digest = '', rounds, salt = '', hex = ''] = pbkdf2Form.exec(hash) ?? [];
  const iterations = Number(rounds);
  if (!(iterations >= 1 && iterations <= 2_000_000)) return null;
  const derive = promisify(pbkdf2);
  return {
    outdated: true,
    fits: async (password) =>
      sameSecret(await derive(password, salt, iterations, hex.length / 2, digest), Buffer.from(hex, 'hex')),
  };
}

function isHashable(password: string): boolean {
  // A lone surrogate has no UTF-8, so different passwords would become the same bytes.
  const bytes = Buffer.byteLength(password);
  return bytes > 0 && bytes <= maximumPasswordBytes && password.isWellFormed();
}

/** One queue for the process, as the threads are that it is for. */
const waiting: (() => void)[] = [];
let running = 0;

async function takingTurns<T>(act: () => Promise<T>): Promise<T> {
  if (running < maximumAtOnce) {
    running += 1;
  } else {
    if (waiting.length >= maximumWaiting) throw new TrustError('service.overloaded');
    // Whoever ends hands over the turn, so `running` does not change.
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  try {
    return await act();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

// Reads a JSON body (RFC 8259) as strictly as the I-JSON profile (RFC 7493), with caps on depth and keys before anything is built.
import { TrustError } from '#contracts/problems.ts';

export interface JsonLimits {
  readonly depth: number;
  /** Keys of all objects together. */
  readonly keys: number;
}

export const bodyLimits: JsonLimits = { depth: 16, keys: 2048 };

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const colon = 0x3a;

/** Names that reach the prototype of what they are copied into. */
const poisonous = new Set(['__proto__', 'constructor', 'prototype']);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses a body: UTF-8 without byte order mark, no key twice in an object, no key that reaches a prototype,
 * no NUL and no unpaired surrogate in any string or key.
 *
 * @throws TrustError `request.malformed` when it is not JSON, `request.invalid` when it is JSON that no part may see
 */
export function parseStrictJson(bytes: Buffer, limits: JsonLimits = bodyLimits): unknown {
  try {
    const text = utf8.decode(bytes);
    inspect(text, limits);
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof TrustError) throw error;
    // The parser's message quotes the body, which may hold a password.
    throw new TrustError('request.malformed', { cause: error });
  }
}

/** Walks over the text once. It trusts nothing but quotes and brackets; whether the text is JSON at all is for the parser. */
function inspect(text: string, limits: JsonLimits): void {
  // The keys of each open object, and null for each open array.
  const open: (Set<string> | null)[] = [];
  let keys = 0;
  for (let index = 0; index < text.length; index += 1) {
    switch (text.charCodeAt(index)) {
      case openBrace:
      case openBracket:
        if (open.length === limits.depth) throw refused(`is nested more than ${limits.depth} levels deep`);
        open.push(text.charCodeAt(index) === openBrace ? new Set() : null);
        break;
      case closeBrace:
      case closeBracket:
        open.pop();
        break;
      case quote: {
        const end = endOfString(text, index);
        const value = readString(text, index, end);
        index = end;
        const object = open.at(-1);
        if (!object || !isFollowedByColon(text, end)) break;
        keys += 1;
        if (keys > limits.keys) throw refused(`has more than ${limits.keys} keys`);
        if (poisonous.has(value)) throw refused(`has a key that is not allowed: ${value}`);
        if (object.has(value)) throw refused('has a key twice in one object');
        object.add(value);
        break;
      }
    }
  }
}

/** Index of the closing quote of the string that begins here. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end > 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === backslash) backslashes += 1;
    if (backslashes % 2 === 0) return end;
  }
  throw new SyntaxError('a string has no end');
}

function readString(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  // Bytes that are UTF-8 hold no surrogates, and the parser refuses a NUL as it is: only escapes can bring them in.
  if (!raw.includes('\\')) return raw;
  const value = JSON.parse(text.slice(start, end + 1)) as string;
  if (value.includes('\0') || !value.isWellFormed()) throw refused('has NUL or an unpaired surrogate in a string');
  return value;
}

function isFollowedByColon(text: string, end: number): boolean {
  let next = end + 1;
  while (text.charCodeAt(next) <= 0x20) next += 1;
  return text.charCodeAt(next) === colon;
}

function refused(what: string): TrustError {
  return new TrustError('request.invalid', { detail: `The body ${what}` });
}

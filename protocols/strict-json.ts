// Reads a JSON body (RFC 8259) as strictly as the I-JSON profile (RFC 7493), with caps on depth and keys before anything is built.
import { isUtf8 } from 'node:buffer';
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

/**
 * Parses a body: UTF-8 without byte order mark, no key twice in an object, no key that reaches a prototype,
 * no NUL and no unpaired surrogate in any string or key.
 *
 * @throws TrustError `request.malformed` when it is not JSON, `request.invalid` when it is JSON that no part may see
 */
export function parseStrictJson(bytes: Buffer, limits: JsonLimits = bodyLimits): unknown {
  try {
    if (!isUtf8(bytes)) throw new SyntaxError('not UTF-8');
    const text = bytes.toString();
    const { members, escapes } = scan(text, limits);
    const value = JSON.parse(text) as unknown;
    // The parser keeps the last of two members with one name; what it built has fewer of them then than the text.
    if (countMembers(value, escapes) !== members) throw refused('has a key twice in one object');
    return value;
  } catch (error) {
    if (error instanceof TrustError) throw error;
    // The parser's message quotes the body, which may hold a password.
    throw new TrustError('request.malformed', { cause: error });
  }
}

/**
 * Walks over the text once, before anything is built of it. Whether the text is JSON at all is for the parser; if it is,
 * every colon outside of strings belongs to one member.
 */
function scan(text: string, limits: JsonLimits): { members: number; escapes: boolean } {
  let depth = 0;
  let members = 0;
  let escapes = false;
  for (let index = 0; index < text.length; index += 1) {
    switch (text.charCodeAt(index)) {
      case openBrace:
      case openBracket:
        if (depth === limits.depth) throw refused(`is nested more than ${limits.depth} levels deep`);
        depth += 1;
        break;
      case closeBrace:
      case closeBracket:
        depth -= 1;
        break;
      case colon:
        if (members === limits.keys) throw refused(`has more than ${limits.keys} keys`);
        members += 1;
        break;
      case quote:
        for (index += 1; text.charCodeAt(index) !== quote; index += 1) {
          if (index >= text.length) throw new SyntaxError('a string has no end');
          if (text.charCodeAt(index) !== backslash) continue;
          escapes = true;
          index += 1;
        }
        break;
    }
  }
  return { members, escapes };
}

/**
 * Counts the members of all objects, and looks at every name; at every string too when there are escapes. Bytes that are
 * UTF-8 hold no surrogates, and the parser refuses a NUL as it is: only escapes can bring them in.
 */
function countMembers(value: unknown, escapes: boolean): number {
  if (typeof value === 'string') {
    if (escapes) requireText(value);
    return 0;
  }
  if (typeof value !== 'object' || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) {
    for (const item of value) members += countMembers(item, escapes);
    return members;
  }
  for (const name of Object.keys(value)) {
    if (poisonous.has(name)) throw refused(`has a key that is not allowed: ${name}`);
    if (escapes) requireText(name);
    members += 1 + countMembers((value as Record<string, unknown>)[name], escapes);
  }
  return members;
}

function requireText(text: string): void {
  if (text.includes('\0') || !text.isWellFormed()) throw refused('has NUL or an unpaired surrogate in a string');
}

function refused(what: string): TrustError {
  return new TrustError('request.invalid', { detail: `The body ${what}` });
}

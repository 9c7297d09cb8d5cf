// A service definition: what goes into one, and what a kind of service manager has to say about itself.
import { FileProblem } from '../file-problem.ts';
import type { Program } from '../system.ts';

/** What a definition is rendered from. Paths are those of the machine that it is for. */
export interface Service {
  readonly executable: string;
  readonly config: string;
  /** Whom the agent runs as. */
  readonly user: string;
}

export interface Command {
  readonly program: Program;
  readonly args: readonly string[];
}

export interface ServiceKind {
  /** What people call it. */
  readonly title: string;
  readonly platform: NodeJS.Platform;
  readonly defaults: Service;
  /** Where the definition belongs. */
  readonly file: string;
  readonly encoding: 'utf8' | 'utf16le';
  /** What each value may look like; nothing else goes into a definition. */
  readonly forms: Readonly<Record<keyof Service, Form>>;
  /** The text, with `openSeal` in its comment; made of its arguments alone. */
  render(service: Service): string;
  /** What to do after writing it to `file`, as lines for a shell of that machine. */
  readonly toStart: readonly string[];
  readonly state: Command & { isRunning(output: string): boolean };
  /** Stops it and keeps it from starting again. */
  readonly toStop: readonly Command[];
  /** After the definition is gone. */
  readonly toForget: readonly Command[];
}

export interface Form {
  readonly pattern: RegExp;
  readonly words: string;
}

/** Quotes, variables, specifiers, markup and line ends are no part of it, and no step upwards. */
export const posixPath: Form = {
  pattern: /^(?=.{2,512}$)(?:\/(?!\.{1,2}(?:\/|$))[\p{L}\p{N}._@+-](?:[\p{L}\p{N} ._@+-]*[\p{L}\p{N}._@+-])?)+$/u,
  words: 'an absolute path of letters, digits, blanks and . _ @ + -',
};

/** On a drive of this machine: a definition that names a share would run what a server says. */
export const windowsPath: Form = {
  pattern:
    /^(?=.{4,240}$)[A-Za-z]:(?:\\(?!\.{1,2}(?:\\|$))[\p{L}\p{N}._@+-](?:[\p{L}\p{N} ._@+()-]*[\p{L}\p{N}_@+)-])?)+$/u,
  words: 'an absolute path on a drive, of letters, digits, blanks and . _ @ + ( ) -',
};

/** @throws FileProblem when a value could be anything but what it is meant to be */
export function checkService(kind: ServiceKind, service: Service): void {
  for (const name of ['executable', 'config', 'user'] as const) {
    const { pattern, words } = kind.forms[name];
    if (!pattern.test(service[name])) throw new FileProblem(`--${name}`, 'does not fit a service', `Say ${words}.`);
  }
}

/** Text between two tags, and in a value between double quotes. */
export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');
}

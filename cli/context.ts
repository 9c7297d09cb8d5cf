// What every command gets, and the options that every command has.
import type { Command } from 'commander';
import { resolve } from 'node:path';
import type { Pause } from '#client/request.ts';
import type { Clock, Random } from '#contracts/deps.ts';
import { readSettings, type Settings } from '#contracts/settings.ts';
import { openHome, type Home } from './home.ts';
import { printableJson } from '#contracts/printable.ts';
import type { Terminal } from './terminal.ts';

export interface CliContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly random: Random;
  readonly pause: Pause;
  /** Ends what is under way; present while something is watched. */
  readonly stop?: AbortSignal;
  /** Folder that relative paths start from. */
  readonly directory: string;
}

export interface GlobalOptions {
  readonly url?: string;
  readonly caFile?: string;
  readonly project?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** Reads the settings when a command needs them, so that help works whatever the environment holds. */
export function settingsOf(context: CliContext): Settings {
  return readSettings(context.environment);
}

export function homeOf(context: CliContext): Home {
  return openHome(resolve(context.directory, settingsOf(context).SENTINEL_HOME));
}

export function globalsOf(command: Command): GlobalOptions {
  return command.optsWithGlobals();
}

/** Prints the API's object for programs, or what `forPeople` makes of it. */
export function present<T>(context: CliContext, command: Command, value: T, forPeople: (value: T) => void): void {
  // While it is watched, each object is one line.
  if (globalsOf(command).json) context.terminal.data(printableJson(value, isWatched(command) ? 0 : 2));
  else forPeople(value);
}

const isWatched = (command: Command): boolean => command.opts<{ watch?: unknown }>().watch !== undefined;

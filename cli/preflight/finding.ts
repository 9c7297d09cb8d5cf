// What the preflight says about one setting, and what every check is given.
import type { SettingName, Settings } from '#contracts/settings.ts';

export interface Finding {
  /** An error ends the preflight with a failure; a warning is for somebody to think about. */
  readonly level: 'error' | 'warning';
  /** Name of the setting, or path of the file that holds them. */
  readonly setting: string;
  /** Never holds a value of a secret. */
  readonly problem: string;
  readonly advice: string;
}

/** Tells what is at a path, without opening it. */
export interface Files {
  look(path: string): { readonly kind: 'file' | 'directory' | 'other'; readonly mode: number } | null;
}

export interface PreflightOptions {
  /** Judges as for an installation that people rely on. */
  readonly production: boolean;
  /** Devices are to come through a proxy that forwards their certificates. */
  readonly expectProxyCertHeaders: boolean;
  readonly files: Files;
  /** Folder of the program, which must not hold its keys. */
  readonly programDirectory?: string;
}

export interface Check extends PreflightOptions {
  readonly settings: Settings;
}

export function error(setting: SettingName, problem: string, advice: string): Finding {
  return { level: 'error', setting, problem, advice };
}

export function warning(setting: SettingName, problem: string, advice: string): Finding {
  return { level: 'warning', setting, problem, advice };
}

/** What is weak anywhere and must not be so where people rely on it. */
export function weakness({ production }: Check, setting: SettingName, problem: string, advice: string): Finding {
  return { level: production ? 'error' : 'warning', setting, problem, advice };
}

// What an agent observes about its device, and how often it looks: the one list of facts.
import type { Observation } from './device.ts';
import { bootMode } from './facts/boot-mode.ts';
import { diskEncryption } from './facts/disk-encryption.ts';
import type { Fact } from './facts/fact.ts';
import { hostname } from './facts/hostname.ts';
import { osVersion } from './facts/os-version.ts';
import { platform } from './facts/platform.ts';
import { createUptime } from './facts/uptime.ts';
import type { System } from './system.ts';

const minute = 60;
const hour = 60 * minute;

export interface ObserverDeps {
  readonly system: System;
  readonly agentVersion: string;
  readonly tags: readonly string[];
  /** What the device is called in a directory of devices; `null` when it is in none. */
  readonly directory: Readonly<Record<string, string>> | null;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsedMs: () => number;
  /** The time of day, in milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Makes the function that says what is known of the device, looking again at what is due.
 *
 * A device on which nothing changes says the same every time: the server compares digests, and takes each difference
 * for news.
 */
export function createObserver(deps: ObserverDeps): () => Promise<Observation> {
  const facts: readonly { readonly everySeconds: number; readonly fact: Fact }[] = [
    { fact: platform, everySeconds: hour },
    { fact: hostname, everySeconds: minute },
    { fact: osVersion, everySeconds: 10 * minute },
    { fact: diskEncryption, everySeconds: 10 * minute },
    { fact: bootMode, everySeconds: hour },
    { fact: createUptime(deps.now), everySeconds: 10 * minute },
  ];
  const looks = facts.map(({ fact, everySeconds }) => ({ fact, everySeconds, dueMs: -Infinity, found: {} }));

  return async () => {
    const nowMs = deps.elapsedMs();
    await Promise.all(
      looks.map(async (look) => {
        if (nowMs < look.dueMs) return;
        look.dueMs = nowMs + look.everySeconds * 1000;
        look.found = await look.fact(deps.system);
      }),
    );
    const found: readonly Observation[] = looks.map((look) => look.found);
    const posture = Object.assign({}, ...found.map((observation) => observation.posture ?? {})) as object;
    const directory = deps.directory === null ? {} : { directory: { ...deps.directory } };
    return Object.assign({ agent_version: deps.agentVersion, tags: [...deps.tags], ...directory }, ...found, {
      posture,
    });
  };
}

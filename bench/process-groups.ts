// What a part costs the machine: memory and processor time of a process with everything that it started. Linux only.
import { readdirSync, readFileSync } from 'node:fs';

/** Of proc_pid_stat(5), on every Linux that Node runs on. */
const ticksPerSecond = 100;

export interface Usage {
  readonly processes: number;
  /** User and system time, that of children which have ended included. */
  readonly cpuSeconds: number;
  readonly residentMegabytes: number;
  /** Each shared page divided among those that share it. */
  readonly proportionalMegabytes: number;
}

/**
 * @param pid   the first of the group; one that has ended uses nothing
 * @param alone leaves out what it started
 */
export function usageOf(pid: number, { alone = false } = {}): Usage {
  const all = withDescendants(pid, parents());
  const group = alone ? all.slice(0, 1) : all;
  return {
    processes: group.length,
    cpuSeconds: sum(group.map(cpuSecondsUsedBy)),
    residentMegabytes: sum(group.map((member) => megabytesOf(readText(`/proc/${member}/status`), 'VmRSS'))),
    proportionalMegabytes: sum(group.map((member) => megabytesOf(readText(`/proc/${member}/smaps_rollup`), 'Pss'))),
  };
}

/** The processor time alone, which is read quickly, of several groups in one moment. */
export function cpuSecondsOfGroups(pids: readonly number[]): number[] {
  const all = parents();
  return pids.map((pid) => sum(withDescendants(pid, all).map(cpuSecondsUsedBy)));
}

function cpuSecondsUsedBy(pid: number): number {
  const stat = readText(`/proc/${pid}/stat`);
  return stat === '' ? 0 : cpuSecondsOf(stat);
}

/** @param parents each process and the one that started it */
export function withDescendants(pid: number, parents: ReadonlyMap<number, number>): readonly number[] {
  const found = parents.has(pid) ? [pid] : [];
  // Grows while it is gone through.
  for (const member of found) for (const [child, parent] of parents) if (parent === member) found.push(child);
  return found;
}

/** @param stat of proc_pid_stat(5); the name in it may hold spaces and parentheses */
export function cpuSecondsOf(stat: string): number {
  const fields = fieldsAfterName(stat);
  return sum(fields.slice(11, 15).map(Number)) / ticksPerSecond;
}

/** A line such as `VmRSS:    1234 kB`. */
export function megabytesOf(text: string, name: string): number {
  return (Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024) / 1e6;
}

function parents(): Map<number, number> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return new Map(
    pids.flatMap((pid): [number, number][] => {
      const parent = fieldsAfterName(readText(`/proc/${pid}/stat`))[1];
      return parent === undefined ? [] : [[Number(pid), Number(parent)]];
    }),
  );
}

/** The first one is the state, field 3 of the manual. */
function fieldsAfterName(stat: string): readonly string[] {
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Processes end while they are looked at. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

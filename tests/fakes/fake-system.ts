// A machine made of texts: files and outputs of programs by name; whatever is not named cannot be read.
import type { System } from '#agent/system.ts';

export interface FakeSystemParts extends Partial<Omit<System, 'readFile' | 'list' | 'realPath'>> {
  readonly files?: Readonly<Record<string, string | Buffer>>;
  readonly links?: Readonly<Record<string, string>>;
  /** By `program argument argument …`. */
  readonly programs?: Readonly<Record<string, string>>;
}

export interface FakeSystem extends System {
  /** What was read or run, in order. */
  readonly looked: readonly string[];
}

export function fakeSystem({ files = {}, links = {}, programs = {}, ...rest }: FakeSystemParts = {}): FakeSystem {
  const looked: string[] = [];
  return {
    platform: 'linux',
    architecture: 'x64',
    hostname: () => 'host-1',
    release: () => '6.12.0',
    version: () => '',
    uptimeSeconds: () => 3600,
    looked,
    readFile: async (path) => {
      looked.push(path);
      const content = files[path];
      return content === undefined ? null : Buffer.from(content);
    },
    list: async (path) => {
      looked.push(path);
      const below = Object.keys(files).filter((name) => name.startsWith(`${path}/`));
      return below.length === 0
        ? null
        : [...new Set(below.map((name) => name.slice(path.length + 1).split('/')[0] ?? ''))].filter(
            (name) => name !== '.',
          );
    },
    realPath: async (path) => links[path] ?? null,
    run: async (program, args) => {
      looked.push([program, ...args].join(' '));
      return programs[[program, ...args].join(' ')] ?? null;
    },
    ...rest,
  };
}

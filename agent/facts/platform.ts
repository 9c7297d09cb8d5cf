// Operating system and processor, in the words of Node's downloads: linux-x64, darwin-arm64, windows-x64.
import type { Fact } from './fact.ts';

export const platform: Fact = async ({ platform: system, architecture }) => ({
  platform: `${system === 'win32' ? 'windows' : system}-${architecture}`,
});

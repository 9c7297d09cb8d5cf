// The version of this release, as package.json says it.
import packageFile from '../package.json' with { type: 'json' };

export const { version } = packageFile;

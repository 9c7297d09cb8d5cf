// The version of this agent, as it reports it.
import packageFile from '../package.json' with { type: 'json' };

export const agentVersion: string = packageFile.version;

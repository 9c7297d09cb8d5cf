// The name that the machine has in its network.
import { clean, type Fact } from './fact.ts';

/** The longest name of DNS, and the longest that the server takes. */
const longestName = 253;

export const hostname: Fact = async (system) => {
  const name = clean(system.hostname())?.slice(0, longestName);
  return name === undefined ? {} : { hostname: name };
};

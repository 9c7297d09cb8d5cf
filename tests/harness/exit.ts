// Loaded into every test process: one that is still busy when its tests are done fails and names what it left open.
import { after } from 'node:test';

const graceMs = 10_000;

// The runner itself loads this too, and has no tests of its own.
if (process.env.NODE_TEST_CONTEXT !== undefined || process.execArgv.includes('--test-isolation=none')) {
  after(() => {
    setTimeout(() => {
      const open = process.getActiveResourcesInfo();
      process.stderr.write(
        `The tests ended ${graceMs / 1000} s ago, but the process did not. Open: ${open.join(', ')}\n`,
      );
      process.exit(1);
    }, graceMs).unref();
  });
}

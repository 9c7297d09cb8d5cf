// Lets Temporal's SDK download the command line into the folder given as argument; a process of its own, since it loads native code.
import { TestWorkflowEnvironment } from '@temporalio/testing';

const [downloadDir] = process.argv.slice(2);
if (downloadDir === undefined) throw new RangeError('usage: temporal-download.ts FOLDER');
// The SDK downloads only to start a server; it is stopped at once.
const server = await TestWorkflowEnvironment.createLocal({
  server: { executable: { type: 'cached-download', downloadDir } },
});
await server.teardown();

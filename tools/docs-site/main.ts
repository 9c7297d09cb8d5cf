// `npm run build-docs-site`: builds the documentation site, which the API serves at /docs.
import { dirname } from 'node:path';
import { buildDocsSite } from './build.ts';

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupt.abort());

const began = performance.now();
try {
  const done = await buildDocsSite({
    root: dirname(dirname(import.meta.dirname)),
    // All of it: how npm reaches its registry may be a variable.
    environment: Object.fromEntries(
      Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
    signal: interrupt.signal,
    say: (what) => process.stderr.write(`Docs … ${what}\n`),
    mayInstall: true,
  });
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  process.stdout.write(
    `Docs … ${done === 'built' ? `built in ${seconds} s` : 'nothing has changed'}: docs/site/dist, served at /docs/\n`,
  );
} catch (error) {
  process.stderr.write(`The documentation site was not built.\n${(error as Error).message}\n`);
  process.exitCode = 1;
}

// How the console is built: one folder of static files that runs under a strict content security policy.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const brotli = promisify(zlib.brotliCompress);
const gzip = promisify(zlib.gzip);

export default defineConfig({
  base: '/',
  plugins: [react(), compressedCopies()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: ['chrome123', 'edge123', 'firefox128', 'safari17.5'],
    // data: addresses and injected scripts are what the policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        // What most pages use comes in two files, not in forty; what one page uses comes with that page.
        codeSplitting: {
          groups: [
            { name: 'kit', test: /node_modules/, minShareCount: 4 },
            { name: 'parts', test: /(web\/(parts|words|data|frame)|contracts|client)\//, minShareCount: 4 },
          ],
        },
      },
    },
  },
  server: { proxy: { '/api': { target: 'https://127.0.0.1:8443', secure: false } } },
});

/** `x.js.br` and `x.js.gz` beside `x.js`, so that the server compresses nothing while it answers. Not the page, which is filled in for each answer. */
function compressedCopies(): Plugin {
  return {
    name: 'compressed-copies',
    apply: 'build',
    // From the written files: other plugins change what is generated until the end.
    async writeBundle({ dir = '.' }, bundle) {
      const names = Object.keys(bundle).filter((name) => /\.(js|css)$/.test(name));
      await Promise.all(
        names.map(async (name) => {
          const bytes = await readFile(join(dir, name));
          await writeFile(join(dir, `${name}.br`), await brotli(bytes));
          await writeFile(join(dir, `${name}.gz`), await gzip(bytes, { level: 9 }));
        }),
      );
    },
  };
}

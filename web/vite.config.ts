// How the console is built: one folder of static files that runs under a strict content security policy.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  base: '/',
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: ['chrome123', 'edge123', 'firefox128', 'safari17.5'],
    // data: addresses and injected scripts are what the policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // What most pages use comes in two files, not in forty; what one page uses comes with that page.
        codeSplitting: {
          groups: [
            { name: 'kit', test: /node_modules/, minShareCount: 6 },
            { name: 'parts', test: /(web\/(parts|words|data|frame)|contracts|client)\//, minShareCount: 4 },
          ],
        },
      },
    },
  },
  server: { proxy: { '/api': { target: 'https://127.0.0.1:8443', secure: false } } },
});

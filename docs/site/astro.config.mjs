// The documentation site: pages are made from the repository's Markdown by tools/docs-site/, which also writes sidebar.json.
import { readFileSync } from 'node:fs';
import starlight from '@astrojs/starlight';
import { defineConfig, passthroughImageService } from 'astro/config';

const sidebar = JSON.parse(readFileSync(new URL('./src/sidebar.json', import.meta.url), 'utf8'));

export default defineConfig({
  base: '/docs',
  trailingSlash: 'always',
  // The API's policy allows no inline style.
  build: { inlineStylesheets: 'never' },
  // Nor fonts and images inside of style sheets.
  vite: { build: { assetsInlineLimit: 0 } },
  image: { service: passthroughImageService() },
  integrations: [
    starlight({
      title: 'Sentinel',
      description: 'How to install, operate and understand Sentinel.',
      logo: { src: './src/assets/mark.svg', alt: '' },
      favicon: '/favicon.svg',
      customCss: ['@fontsource-variable/inter', '@fontsource-variable/jetbrains-mono', './src/styles/site.css'],
      sidebar,
      tableOfContents: { minHeadingLevel: 2, maxHeadingLevel: 3 },
      pagefind: true,
      credits: false,
      expressiveCode: {
        themes: ['github-light', 'github-dark'],
        // A window around each command says nothing.
        defaultProps: { frame: 'none' },
        styleOverrides: { borderRadius: '8px', codeFontFamily: 'var(--sl-font-mono)' },
      },
    }),
  ],
});

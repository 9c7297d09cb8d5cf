// Starts the console: builds what the pages depend on and renders them.
import { createClient } from '#client/client.ts';
import { systemRandom } from '#contracts/deps.ts';
import { MantineProvider } from '@mantine/core';
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { createConnection } from './data/connection.ts';
import { createQueries, isSignedOut } from './data/queries.ts';
import { ServicesContext } from './data/services.tsx';
import { ToastCorner } from './frame/toast-corner.tsx';
import { createConsoleRouter } from './router.tsx';
import { theme } from './theme.ts';
import '@fontsource-variable/inter';
import '@fontsource-variable/jetbrains-mono';
import '@mantine/core/styles.layer.css';
import './styles.css';

const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
// The kit asks the provider for it, and its scroll lock asks this package.
setNonce(nonce);

const connection = createConnection((url, init) => window.fetch(url, init), Date.now);
const client = createClient({
  baseUrl: '',
  fetch: connection.fetch,
  random: systemRandom,
  csrfToken: () => cache.getQueryData(queries.me().queryKey)?.csrf_token,
});
const queries = createQueries(client);

const cache: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: endSession }),
  mutationCache: new MutationCache({ onError: endSession }),
  defaultOptions: {
    // The client retries by itself, and only what may be retried; whether we are connected it learns by trying.
    queries: { retry: false, networkMode: 'always', staleTime: 1_000 },
    mutations: { retry: false, networkMode: 'always' },
  },
});

const router = createConsoleRouter({ cache, queries });

/** Nobody is signed in any more; `frame/root.tsx` does the rest. */
function endSession(error: unknown): void {
  if (isSignedOut(error)) cache.setQueryData(queries.me().queryKey, null);
}

const place = document.getElementById('app');
if (place === null) throw new TypeError('index.html has no #app');
createRoot(place).render(
  <StrictMode>
    <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      <QueryClientProvider client={cache}>
        <ServicesContext value={{ client, queries, connection }}>
          <RouterProvider router={router} />
          <ToastCorner />
        </ServicesContext>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);

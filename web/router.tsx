// Every page with its address and its typed search parameters; the pages themselves are loaded when they are opened.
import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  redirect,
  type RouterHistory,
} from '@tanstack/react-router';
import type { Queries } from './data/queries.ts';
import { Failure, NotFound, Opening } from './frame/states.tsx';
import { Root } from './frame/root.tsx';
import {
  ownPath,
  parseApprovalsSearch,
  parseAuditSearch,
  parseCertificatesSearch,
  parseDeviceSearch,
  parseFleetSearch,
  parseLoginSearch,
  parseSearch,
  stringifySearch,
} from './search.ts';

interface RouterContext {
  readonly cache: QueryClient;
  readonly queries: Queries;
}

const root = createRootRouteWithContext<RouterContext>()({
  beforeLoad: async ({ context }) => ({ me: await context.cache.ensureQueryData(context.queries.me()) }),
  component: Root,
  notFoundComponent: NotFound,
  errorComponent: Failure,
});

const landing = createRoute({ getParentRoute: () => root, path: '/' }).lazy(() =>
  import('./pages/landing.tsx').then((page) => page.landingRoute),
);

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  validateSearch: parseLoginSearch,
  beforeLoad: ({ context, search }) => {
    if (context.me !== null) throw redirect({ href: ownPath(search.next) ?? '/dashboard', replace: true });
  },
}).lazy(() => import('./pages/login.tsx').then((page) => page.loginRoute));

/** Everything below is for people who have signed in; others are sent to do so, and come back. */
const signedIn = createRoute({
  getParentRoute: () => root,
  id: 'signed-in',
  beforeLoad: ({ context, location }) => {
    if (context.me === null) throw redirect({ to: '/login', search: { next: location.href } });
  },
});

const dashboard = createRoute({
  getParentRoute: () => signedIn,
  path: '/dashboard',
  validateSearch: parseFleetSearch,
}).lazy(() => import('./pages/dashboard.tsx').then((page) => page.dashboardRoute));

const device = createRoute({
  getParentRoute: () => signedIn,
  path: '/devices/$deviceId',
  validateSearch: parseDeviceSearch,
}).lazy(() => import('./pages/device.tsx').then((page) => page.deviceRoute));

const certificates = createRoute({
  getParentRoute: () => signedIn,
  path: '/certificates',
  validateSearch: parseCertificatesSearch,
}).lazy(() => import('./pages/certificates.tsx').then((page) => page.certificatesRoute));

const approvals = createRoute({
  getParentRoute: () => signedIn,
  path: '/approvals',
  validateSearch: parseApprovalsSearch,
}).lazy(() => import('./pages/approvals.tsx').then((page) => page.approvalsRoute));

const approval = createRoute({ getParentRoute: () => signedIn, path: '/approvals/$id' }).lazy(() =>
  import('./pages/approval.tsx').then((page) => page.approvalRoute),
);

const audit = createRoute({
  getParentRoute: () => signedIn,
  path: '/audit',
  validateSearch: parseAuditSearch,
}).lazy(() => import('./pages/audit.tsx').then((page) => page.auditRoute));

const sessions = createRoute({ getParentRoute: () => signedIn, path: '/sessions' }).lazy(() =>
  import('./pages/sessions.tsx').then((page) => page.sessionsRoute),
);

const health = createRoute({ getParentRoute: () => signedIn, path: '/health' }).lazy(() =>
  import('./pages/health.tsx').then((page) => page.healthRoute),
);

const routeTree = root.addChildren([
  landing,
  login,
  signedIn.addChildren([dashboard, device, certificates, approvals, approval, audit, sessions, health]),
]);

export function createConsoleRouter(context: RouterContext, history?: RouterHistory) {
  return createRouter({
    routeTree,
    context,
    ...(history === undefined ? {} : { history }),
    parseSearch,
    stringifySearch,
    defaultPreload: 'intent',
    defaultPendingComponent: Opening,
    defaultErrorComponent: Failure,
    scrollRestoration: true,
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createConsoleRouter>;
  }
}

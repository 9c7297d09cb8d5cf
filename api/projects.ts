// The project that a request acts in: the one that X-Sentinel-Project names, else `default`.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { defaultProject, isProjectId } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Empty until a signed-in request has named an existing project. */
    project: string;
  }
}

/** Resolves the project of every request that somebody signed in for; devices have theirs from their certificate. */
export function registerProjects(
  app: FastifyInstance,
  { projectExists }: { projectExists: (id: string) => Promise<boolean> },
): void {
  app.decorateRequest('project', '');
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.signedIn === null) return done();
    return resolve(request);
  });

  async function resolve(request: FastifyRequest): Promise<void> {
    const named = request.headers['x-sentinel-project'] ?? defaultProject;
    if (!isProjectId(named))
      throw new TrustError('request.invalid', { detail: 'X-Sentinel-Project is not the name of a project' });
    if (!(await projectExists(named)))
      throw new TrustError('resource.not_found', { detail: 'There is no such project' });
    request.project = named;
  }
}

export function projectOf(request: FastifyRequest): string {
  if (request.project === '') throw new TypeError('the route has no project');
  return request.project;
}

// The workflow bundle: everything that is replayed, made once for each process.
import { bundleWorkflowCode, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { fileURLToPath } from 'node:url';
import type { Log } from '#contracts/deps.ts';
import { failureConverterPath } from '#protocols/payload-codec.ts';

const workflowsOfThisRelease = fileURLToPath(new URL('../workflows/index.ts', import.meta.url));

/**
 * What every workflow has of its own unless it is shared, a megabyte each: pure, by the table of imports, and frozen once
 * it is loaded. The library that they are made with comes with them.
 */
const shared = ['../machines/device-actor.ts', '../machines/approval.ts'].map((module) =>
  fileURLToPath(new URL(module, import.meta.url)),
);

/** Bundles `workflows/` with the production build of its libraries. Takes some seconds. */
export function bundleWorkflows(
  log: Log,
  workflowsPath: string = workflowsOfThisRelease,
): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath,
    // Failures of workflow code are encoded inside the sandbox, so the bundle has to carry what the worker is given.
    failureConverterPath,
    preloadModules: shared,
    // A page of webpack's statistics is of use to nobody who only wants to know what goes on.
    logger: temporalLogger(quieter(log)),
    webpackConfigHook: (config) => ({
      ...config,
      mode: 'production',
      performance: { hints: false },
      optimization: { ...config.optimization, minimize: false },
      resolve: { ...config.resolve, conditionNames: ['import', 'default'] },
    }),
  });
}

function quieter(log: Log): Log {
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.debug(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
  };
}

/** Temporal's own messages, in our log. */
export function temporalLogger(log: Log) {
  const write = (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: object) =>
    log[level](fields ?? {}, message);
  /** Traces show whole tasks with their payloads, which were decrypted by then. */
  const drop = (_message: string, _fields?: object): void => {};
  const writers: Readonly<Record<string, ReturnType<typeof write>>> = {
    TRACE: drop,
    DEBUG: write('debug'),
    INFO: write('info'),
    WARN: write('warn'),
    ERROR: write('error'),
  };
  return {
    log: (level: string, message: string, fields?: object) => (writers[level] ?? drop)(message, fields),
    trace: drop,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  };
}

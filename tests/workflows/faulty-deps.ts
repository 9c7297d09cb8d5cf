// Wraps what activities are given, so that a test can do something at each call of it: hold it up, end the process, or lose the answer.
import { activityInfo } from '@temporalio/activity';

/** One call of a dependency, by the activity that makes it. */
export interface DependencyCall {
  readonly activity: string;
  /** Path of the function, as in `workflows.start`. */
  readonly dependency: string;
  /** Workflow that the activity belongs to. */
  readonly workflowId: string;
  /** The same for each attempt of one activity, and for no other. */
  readonly activityId: string;
  /** Workflow that is spoken to, where it is one of the arguments. */
  readonly target: string | null;
}

/** Makes the call, or does not, and answers for it. */
export type Around = <T>(call: DependencyCall, make: () => Promise<T>) => Promise<T>;

/**
 * Only runs what it is given, in which the calls are made; or computes, beside the event loop: when that gives no verdict
 * the activity answers that nothing was proven, and asks no second time.
 */
const transparent = new Set(['workflows.withAbortSignal', 'judgeEvidence']);

/** What nobody calls. */
const data = new Set(['policy', 'attestation', 'basis']);

/** The same dependencies; everything asynchronous among them goes through `around`, also of what they return. */
export function aroundDependencies<Deps extends object>(deps: Deps, around: Around, path = ''): Deps {
  return new Proxy(deps, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof name === 'symbol') return value;
      const dependency = path === '' ? name : `${path}.${name}`;
      if (data.has(dependency)) return value;
      if (typeof value === 'object' && value !== null) return aroundDependencies(value, around, dependency);
      if (typeof value !== 'function' || transparent.has(dependency))
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      return (...args: unknown[]): unknown => callOf(value.bind(target) as Make, args, around, dependency);
    },
  });
}

type Make = (...args: unknown[]) => unknown;

function callOf(make: Make, args: unknown[], around: Around, dependency: string): unknown {
  // Whether it is asynchronous is known only when it is called, which must wait for `around`.
  if (synchronous.has(dependency)) {
    const made = make(...args);
    return typeof made === 'object' && made !== null ? aroundDependencies(made, around, dependency) : made;
  }
  const { activityType, activityId, workflowExecution } = activityInfo();
  const { workflowId = '', runId = '' } = workflowExecution ?? {};
  const target = args.flatMap((arg) => (arg as { workflowId?: string } | null)?.workflowId ?? [])[0] ?? null;
  const call = { activity: activityType, dependency, workflowId, activityId: `${runId}/${activityId}`, target };
  return around(call, async () => make(...args));
}

const synchronous = new Set(['digestOf', 'workflowId', 'workflows.getHandle']);

// Makes one function among many fail: found by walking over the object that holds them, so that a new one cannot be forgotten.

/** The paths of all functions in a plain object, such as `directory.find`. Instances of classes are not looked into. */
export function functionsIn(parts: object, prefix = ''): string[] {
  return Object.entries(parts).flatMap(([name, part]: [string, unknown]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    if (typeof part === 'function') return [path];
    // Counters, which judge nothing.
    if (name === 'metrics') return [];
    // A clock of tests can be set too; what it is asked for is the time.
    if (name === 'clock') return [`${path}.now`];
    return isPlain(part) ? functionsIn(part, path) : [];
  });
}

/** The same object with another function at a path. */
export function withFunction<Parts extends object>(parts: Parts, path: string, act: () => unknown): Parts {
  const [name = '', ...deeper] = path.split('.');
  const part = (parts as Record<string, unknown>)[name];
  if (deeper.length === 0) {
    if (typeof part !== 'function') throw new TypeError(`there is no function ${path}`);
    return { ...parts, [name]: act };
  }
  return { ...parts, [name]: withFunction(part as object, deeper.join('.'), act) };
}

/** In which ways a check can fail without an answer. */
export const failures = {
  throws: () => {
    throw new Error('made to fail');
  },
  rejects: () => Promise.reject(new Error('made to fail')),
  'answers nothing': () => undefined,
  'says no': () => false,
  'never answers': () => new Promise<never>(() => {}),
} as const;
export type Failure = keyof typeof failures;

/** Those of a function that answers at once. */
export const failuresAtOnce = ['throws', 'answers nothing', 'says no'] as const satisfies readonly Failure[];

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

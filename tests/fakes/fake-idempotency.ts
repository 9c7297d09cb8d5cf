// Idempotency keys in memory.
import type { IdempotencyStore } from '#api/idempotency.ts';
import type { IdempotencyScope } from '#store/idempotency.ts';

interface Kept {
  readonly hash: string;
  readonly claim: string;
  answer: { status: number; body: string } | null;
}

export function fakeIdempotency(): IdempotencyStore & { readonly kept: ReadonlyMap<string, Kept> } {
  const kept = new Map<string, Kept>();
  let claims = 0;
  const name = ({ project, principal, route, key }: IdempotencyScope) =>
    JSON.stringify([project, principal, route, key]);
  return {
    kept,
    async start(scope, hash) {
      const found = kept.get(name(scope));
      if (found === undefined) {
        const claim = String((claims += 1));
        kept.set(name(scope), { hash, claim, answer: null });
        return { kind: 'started', claim };
      }
      if (found.hash !== hash) return { kind: 'mismatch' };
      return found.answer === null ? { kind: 'running' } : { kind: 'answered', ...found.answer };
    },
    async answer(scope, claim, answer) {
      const found = kept.get(name(scope));
      if (found?.claim === claim) found.answer = answer;
    },
    async abandon(scope, claim) {
      if (kept.get(name(scope))?.claim === claim) kept.delete(name(scope));
    },
  };
}

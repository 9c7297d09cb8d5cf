// Slows guessing down: each failure counts for the account from this address, for the address and for the account.
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import { TrustError } from '#contracts/problems.ts';
import { addressBlock } from './client-address.ts';

export interface SignInAttempt {
  /** Takes the attempt back: it was no guess. */
  succeeded(): Promise<void>;
}

export interface SignInLimiter {
  /**
   * Counts an attempt before it is judged, so that many at once do not all slip through.
   *
   * @throws TrustError `rate.limited` with the time to wait; a delay, never a lockout for good
   */
  attempt(username: string, address: string): Promise<SignInAttempt>;
  /**
   * The same for a one-time code, after the right password: a code has only a million values, so guesses are counted for
   * the account alone, wherever they come from.
   *
   * @throws TrustError `rate.limited`
   */
  attemptCode(username: string): Promise<SignInAttempt>;
}

/** Failures within a minute, and then a minute of waiting. Several people may share an address, and nobody an account with this many. */
const limits = { pair: 5, address: 30, account: 50 } as const;
const windowSeconds = 60;
/** Wrong codes within ten minutes, and then ten minutes of waiting: a day of guessing finds one in one case of 500. */
const codeLimit = { points: 10, duration: 600, blockDuration: 600 } as const;

export function createSignInLimiter(): SignInLimiter {
  const limiters = Object.entries(limits).map(
    ([keyPrefix, points]) =>
      new RateLimiterMemory({ keyPrefix, points, duration: windowSeconds, blockDuration: windowSeconds }),
  );
  const codes = new RateLimiterMemory({ keyPrefix: 'code', ...codeLimit });
  return {
    attempt(username, address) {
      const block = addressBlock(address);
      const keys = [JSON.stringify([username, block]), block, username];
      return count(limiters.map((limiter, index) => ({ limiter, key: keys[index] ?? '' })));
    },
    attemptCode: (username) => count([{ limiter: codes, key: username }]),
  };
}

/**
 * Counts in order, the narrowest first, and ends at the first limit: what one address was already refused for does not
 * count against the account, or that address could keep its owner out everywhere.
 */
async function count(
  counted: readonly { readonly limiter: RateLimiterMemory; readonly key: string }[],
): Promise<SignInAttempt> {
  for (const { limiter, key } of counted) {
    await limiter.consume(key).catch(({ msBeforeNext }: RateLimiterRes) => {
      throw new TrustError('rate.limited', { facts: { retry_after_seconds: Math.ceil(msBeforeNext / 1000) } });
    });
  }
  return {
    async succeeded() {
      await Promise.all(counted.map(({ limiter, key }) => limiter.reward(key)));
    },
  };
}

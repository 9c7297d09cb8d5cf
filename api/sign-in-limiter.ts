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
}

/** Failures within a minute, and then a minute of waiting. Several people may share an address, and nobody an account with this many. */
const limits = { pair: 5, address: 30, account: 50 } as const;
const windowSeconds = 60;

export function createSignInLimiter(): SignInLimiter {
  const limiters = Object.entries(limits).map(
    ([keyPrefix, points]) =>
      new RateLimiterMemory({ keyPrefix, points, duration: windowSeconds, blockDuration: windowSeconds }),
  );
  return {
    async attempt(username, address) {
      const block = addressBlock(address);
      const keys = [JSON.stringify([username, block]), block, username];
      const counted = limiters.map((limiter, index) => ({ limiter, key: keys[index] ?? '' }));
      const results = await Promise.allSettled(counted.map(({ limiter, key }) => limiter.consume(key)));
      const waits = results
        .filter((result) => result.status === 'rejected')
        .map(({ reason }) => (reason as RateLimiterRes).msBeforeNext);
      if (waits.length > 0) {
        throw new TrustError('rate.limited', { facts: { retry_after_seconds: Math.ceil(Math.max(...waits) / 1000) } });
      }
      return {
        async succeeded() {
          await Promise.all(counted.map(({ limiter, key }) => limiter.reward(key)));
        },
      };
    },
  };
}

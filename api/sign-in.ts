// Signing in with a password: the checks in order, each taking as long for somebody who does not exist, and what is written down.
import { createHash } from 'node:crypto';
import type { AuditEntry } from '#contracts/audit.ts';
import type { Clock, JsonObject, Random } from '#contracts/deps.ts';
import type { LoginAnswer, LoginBody } from '#contracts/http/admin.ts';
import { isProblemCode, TrustError } from '#contracts/problems.ts';
import type { PasswordVerdict } from '#protocols/password.ts';
import type { NewSession } from '#store/session.ts';
import type { Metrics } from './metrics.ts';
import { refusalOf } from './problems.ts';
import type { Directory, Person } from './directory.ts';
import type { SignInLimiter } from './sign-in-limiter.ts';
import { withinLimit } from './within-limit.ts';

export interface SignInDeps {
  readonly directory: Directory;
  readonly limiter: SignInLimiter;
  readonly passwords: Passwords;
  /** Hashes that replace configured ones, by the SHA-256 of the configured one. */
  readonly rehashes: {
    find(configuredSha256: string): Promise<string | null>;
    save(configuredSha256: string, hash: string): Promise<void>;
  };
  /** The time step of a one-time code that is right, or null. */
  readonly verifyTotp: (secret: string, code: string, now: Date) => number | null;
  /** False when the step was used before. */
  readonly useTotpStep: (username: string, step: number) => Promise<boolean>;
  /** Writes session and audit event in one transaction. */
  readonly openSession: (session: NewSession, audit: AuditEntry) => Promise<void>;
  readonly audit: (entry: AuditEntry) => Promise<void>;
  readonly signToken: (claims: {
    sessionId: string;
    username: string;
    issuedAt: Date;
    expiresAt: Date;
  }) => Promise<string>;
  readonly sessionSeconds: number;
  /** Limit of all checks together; what takes longer is a refusal. */
  readonly limitMs?: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** Hashing, as `protocols/password.ts` has it: each takes its time on purpose. */
export interface Passwords {
  hashPassword(password: string): Promise<string>;
  verifyPassword(hash: string, password: string): Promise<PasswordVerdict>;
  /** As dear as the password of somebody who exists, and fits nobody. */
  verifyUnknownUser(password: string): Promise<PasswordVerdict>;
}

export interface SignInRequest {
  readonly body: LoginBody;
  readonly address: string;
  readonly userAgent: string | null;
  readonly requestId: string;
}

export type SignIn = (request: SignInRequest) => Promise<LoginAnswer>;

const maximumUserAgent = 256;
/** Shorter than the limit of a request, so that the refusal is on record. */
const defaultLimitMs = 15_000;

/**
 * Makes the sign-in. It refuses everything that is wrong in the same words, unless the password was right: only then
 * may the caller learn that a one-time code or a passkey is what is missing.
 */
export function createSignIn(deps: SignInDeps): SignIn {
  const { directory, limiter, clock, random } = deps;

  return async function signIn(request) {
    const now = clock.now();
    try {
      return await withinLimit(
        deps.limitMs ?? defaultLimitMs,
        () => attemptSignIn(request, now),
        () => new TrustError('service.unavailable'),
      );
    } catch (error) {
      await recordFailure(error, request, now);
      throw error;
    }
  };

  async function attemptSignIn(request: SignInRequest, now: Date): Promise<LoginAnswer> {
    const { username } = request.body;
    const attempt = await limiter.attempt(username, request.address);
    const person = await directory.find(username);
    const refusal = await judge(person, request.body, now, deps);
    if (refusal !== null || person === null) {
      await deps.audit(entryOf(request, now, 'refused', { reason: refusal?.reason ?? 'unknown_user' }));
      throw new TrustError('auth.invalid_credentials', refusal?.shown ?? {});
    }
    await attempt.succeeded();

    const sessionId = random.uuid();
    const expiresAt = new Date(Math.floor(now.getTime() / 1000 + deps.sessionSeconds) * 1000);
    const token = await deps.signToken({ sessionId, username, issuedAt: now, expiresAt });
    await deps.openSession(
      {
        id: sessionId,
        username,
        createdAt: now.toISOString(),
        expiresAt: expiresAt.toISOString(),
        ip: request.address,
        userAgent: request.userAgent?.slice(0, maximumUserAgent) ?? null,
      },
      entryOf(request, now, 'success', { session_id: sessionId }),
    );
    return { token, expires_at: expiresAt.toISOString(), session_id: sessionId };
  }

  /** A check that failed by itself has refused somebody, and that is on record as our failure. */
  async function recordFailure(error: unknown, request: SignInRequest, now: Date): Promise<void> {
    const { code } = error as { code?: unknown };
    const reason = isProblemCode(code) ? code : 'internal.error';
    if (unrecorded.has(reason)) return;
    // The store may be what failed, and the answer is a refusal in any case.
    await deps.audit(entryOf(request, now, 'failed', { reason })).catch(() => {});
  }
}

/** The first is on record with its reason; floods, which the others refuse, leave no rows. */
const unrecorded: ReadonlySet<string> = new Set(['auth.invalid_credentials', 'rate.limited', 'service.overloaded']);

/** Counts how sign-ins end. */
export function countedSignIns(signIn: SignIn, { signIns }: Pick<Metrics, 'signIns'>): SignIn {
  return async (request) => {
    try {
      const answer = await signIn(request);
      signIns.inc({ outcome: 'success' });
      return answer;
    } catch (error) {
      signIns.inc({ outcome: refusalOf(error).code });
      throw error;
    }
  };
}

interface SignInRefusal {
  /** For the audit trail. */
  readonly reason: string;
  /** For the caller; nothing unless the password was right. */
  readonly shown?: { readonly detail: string; readonly facts: Record<string, boolean> };
}

async function judge(
  person: Person | null,
  body: LoginBody,
  now: Date,
  deps: SignInDeps,
): Promise<SignInRefusal | null> {
  if (person === null) {
    // All that is done for somebody who exists, the look-up too, so that the time taken tells nobody apart.
    await deps.rehashes.find(sha256(body.username));
    await deps.passwords.verifyUnknownUser(body.password);
    return { reason: 'unknown_user' };
  }
  if (!(await passwordFits(person, body.password, deps))) return { reason: 'wrong_password' };
  if (person.disabled) return { reason: 'account_disabled' };
  if (person.passkeyRequired) {
    return {
      reason: 'passkey_required',
      shown: { detail: 'This account may sign in with a passkey only', facts: { passkey_required: true } },
    };
  }
  if (person.totpSecret === null) return null;
  const shown = { detail: 'A current one-time code is needed', facts: { totp_required: true } };
  if (body.totp === undefined) return { reason: 'totp_missing', shown };
  // Only who knows the password comes this far, so nobody else can keep the person out by guessing codes.
  const attempt = await deps.limiter.attemptCode(person.username);
  const step = deps.verifyTotp(person.totpSecret, body.totp, now);
  if (typeof step !== 'number') return { reason: 'wrong_totp', shown };
  if ((await deps.useTotpStep(person.username, step)) !== true) return { reason: 'totp_reused', shown };
  await attempt.succeeded();
  return null;
}

/** A configured hash cannot be changed in the settings, so its better successor is kept beside it and counts in its place. */
async function passwordFits(
  { passwordHash }: Person,
  password: string,
  { rehashes, passwords }: SignInDeps,
): Promise<boolean> {
  const configured = sha256(passwordHash);
  const hash = (await rehashes.find(configured)) ?? passwordHash;
  const { valid, needsRehash } = await passwords.verifyPassword(hash, password);
  if (valid && needsRehash) await rehashes.save(configured, await passwords.hashPassword(password));
  return valid;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function entryOf(
  { body, address, requestId }: SignInRequest,
  now: Date,
  outcome: AuditEntry['outcome'],
  details: JsonObject,
): AuditEntry {
  return {
    occurred_at: now.toISOString(),
    category: 'auth',
    action: 'login',
    actor: { kind: 'user', id: body.username, ip: address },
    subject: { kind: 'user', id: body.username },
    outcome,
    details,
    request_id: requestId,
  };
}

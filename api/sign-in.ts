// Signing in with a password: the checks in order, each taking as long for somebody who does not exist, and what is written down.
import { createHash } from 'node:crypto';
import type { AuditEntry } from '#contracts/audit.ts';
import type { Clock, JsonObject, Random } from '#contracts/deps.ts';
import type { LoginAnswer, LoginBody } from '#contracts/http/admin.ts';
import { TrustError } from '#contracts/problems.ts';
import { hashPassword, verifyPassword, verifyUnknownUser } from '#protocols/password.ts';
import type { NewSession } from '#store/session.ts';
import type { Metrics } from './metrics.ts';
import { refusalOf } from './problems.ts';
import type { Directory, Person } from './directory.ts';
import type { SignInLimiter } from './sign-in-limiter.ts';

export interface SignInDeps {
  readonly directory: Directory;
  readonly limiter: SignInLimiter;
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
  readonly clock: Clock;
  readonly random: Random;
}

export interface SignInRequest {
  readonly body: LoginBody;
  readonly address: string;
  readonly userAgent: string | null;
  readonly requestId: string;
}

export type SignIn = (request: SignInRequest) => Promise<LoginAnswer>;

const maximumUserAgent = 256;

/**
 * Makes the sign-in. It refuses everything that is wrong in the same words, unless the password was right: only then
 * may the caller learn that a one-time code or a passkey is what is missing.
 */
export function createSignIn(deps: SignInDeps): SignIn {
  const { directory, limiter, clock, random } = deps;

  return async function signIn(request) {
    const { username } = request.body;
    const attempt = await limiter.attempt(username, request.address);
    const person = await directory.find(username);
    const now = clock.now();
    const refusal = await judge(person, request.body, now, deps);
    if (refusal !== null || person === null) {
      await deps.audit(entryOf(request, now, 'refused', { reason: refusal?.reason ?? 'unknown_user' }));
      throw new TrustError('auth.invalid_credentials', refusal?.shown ?? {});
    }
    await attempt.succeeded();

    const sessionId = random.uuid();
    const expiresAt = new Date(Math.floor(now.getTime() / 1000 + deps.sessionSeconds) * 1000);
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
    const token = await deps.signToken({ sessionId, username, issuedAt: now, expiresAt });
    return { token, expires_at: expiresAt.toISOString(), session_id: sessionId };
  };
}

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
    await verifyUnknownUser(body.password);
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
  const step = deps.verifyTotp(person.totpSecret, body.totp, now);
  if (step === null) return { reason: 'wrong_totp', shown };
  return (await deps.useTotpStep(person.username, step)) ? null : { reason: 'totp_reused', shown };
}

/** A configured hash cannot be changed in the settings, so its better successor is kept beside it and counts in its place. */
async function passwordFits({ passwordHash }: Person, password: string, { rehashes }: SignInDeps): Promise<boolean> {
  const configured = createHash('sha256').update(passwordHash).digest('hex');
  const { valid, needsRehash } = await verifyPassword((await rehashes.find(configured)) ?? passwordHash, password);
  if (valid && needsRehash) await rehashes.save(configured, await hashPassword(password));
  return valid;
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

// Every refusal that leaves this product, in one table; error class, HTTP status, Temporal retryability and docs derive from it.

interface Problem {
  /** HTTP status of the answer. */
  readonly status: 400 | 401 | 403 | 404 | 409 | 413 | 415 | 422 | 429 | 500 | 503;
  /** What happened, as one short sentence that never changes with the request. */
  readonly title: string;
  /** What the reader can do about it. */
  readonly advice: string;
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean;
}

export const problems = {
  'request.invalid': {
    status: 400,
    title: 'The request does not fit the schema',
    advice: 'Correct the fields named in errors[].',
    retryable: false,
  },
  'request.malformed': {
    status: 400,
    title: 'The body is not valid JSON',
    advice: 'Send one JSON object in UTF-8.',
    retryable: false,
  },
  'request.unsupported_media_type': {
    status: 415,
    title: 'The body is not JSON',
    advice: 'Send Content-Type: application/json without a content encoding.',
    retryable: false,
  },
  'request.too_large': {
    status: 413,
    title: 'The request is larger than the limit',
    advice: 'Send a smaller body.',
    retryable: false,
  },
  'request.idempotency_mismatch': {
    status: 422,
    title: 'This Idempotency-Key was used with another body',
    advice: 'Use a new key for a new request.',
    retryable: false,
  },
  'request.in_progress': {
    status: 409,
    title: 'A request with this Idempotency-Key is still running',
    advice: 'Repeat the request after Retry-After.',
    retryable: true,
  },
  'request.cursor_invalid': {
    status: 400,
    title: 'The cursor is not one that this list gave out',
    advice: 'Start again without a cursor.',
    retryable: false,
  },
  'resource.not_found': {
    status: 404,
    title: 'There is nothing here',
    advice: 'Check the address and the project.',
    retryable: false,
  },
  'heartbeat.counter_invalid': {
    status: 400,
    title: 'The heartbeat counter is missing or not a positive integer',
    advice: 'Send heartbeat_counter as an integer from 1 to 2^53 − 1.',
    retryable: false,
  },
  'heartbeat.replayed': {
    status: 409,
    title: 'The heartbeat counter was used before',
    advice: 'Restore the agent state, or have an operator reset the device.',
    retryable: false,
  },
  'certificate.missing': {
    status: 401,
    title: 'No client certificate was presented',
    advice: 'Connect with the device certificate and its key.',
    retryable: false,
  },
  'certificate.untrusted': {
    status: 401,
    title: 'The client certificate is not from a trusted authority',
    advice: 'Use a certificate that the device authority of this project issued.',
    retryable: false,
  },
  'certificate.expired': {
    status: 403,
    title: 'The client certificate has expired',
    advice: 'Issue a new certificate for the device.',
    retryable: false,
  },
  'certificate.not_yet_valid': {
    status: 403,
    title: 'The client certificate is not valid yet',
    advice: 'Check the clock of the device and of the authority.',
    retryable: false,
  },
  'certificate.wrong_usage': {
    status: 403,
    title: 'The client certificate may not be used to authenticate a client',
    advice: 'Issue it with digitalSignature and clientAuth, and not as an authority.',
    retryable: false,
  },
  'certificate.name_mismatch': {
    status: 403,
    title: 'The client certificate does not name this device',
    advice: 'Use a certificate with exactly one common name, equal to device_id.',
    retryable: false,
  },
  'certificate.revoked': {
    status: 403,
    title: 'The client certificate was revoked',
    advice: 'Issue a new certificate for the device.',
    retryable: false,
  },
  'certificate.crl_unavailable': {
    status: 403,
    title: 'No current revocation list is available',
    advice: 'Restore the publication of the revocation list.',
    retryable: true,
  },
  'certificate.ocsp_unavailable': {
    status: 403,
    title: 'No current revocation answer is available',
    advice: 'Restore the OCSP responder.',
    retryable: true,
  },
  'certificate.headers_disagree': {
    status: 403,
    title: 'The proxy headers disagree with the certificate',
    advice: 'Render the proxy configuration again with the one that ships.',
    retryable: false,
  },
  'trust_anchor.invalid': {
    status: 422,
    title: 'This is not a usable certificate of an authority',
    advice: 'Give PEM certificates of authorities with keyCertSign, keys of today’s strength, and nothing else.',
    retryable: false,
  },
  'proxy.untrusted': {
    status: 403,
    title: 'Certificate headers came from somewhere else than the trusted proxy',
    advice: 'Send the request through the configured proxy, without certificate headers of your own.',
    retryable: false,
  },
  'device.pending': {
    status: 409,
    title: 'The device is waiting for approval',
    advice: 'Decide the pending review first.',
    retryable: true,
  },
  'device.rejected': {
    status: 403,
    title: 'The identity of this device was rejected',
    advice: 'An operator can reset the device to let it ask again.',
    retryable: false,
  },
  'device.retired': {
    status: 403,
    title: 'This device was retired',
    advice: 'An operator can reset the device to take it back into service.',
    retryable: false,
  },
  'device.other_certificate_pending': {
    status: 403,
    title: 'Another certificate of this device is waiting for review',
    advice: 'Decide the pending review first.',
    retryable: false,
  },
  'device.no_pending_review': {
    status: 409,
    title: 'The device has no pending review',
    advice: 'Look at the device again; somebody may have decided already.',
    retryable: false,
  },
  'device.no_certificate': {
    status: 409,
    title: 'The device has no certificate to revoke',
    advice: 'Look at the device again.',
    retryable: false,
  },
  'device.already_retired': {
    status: 409,
    title: 'The device is retired already',
    advice: 'Nothing is left to do.',
    retryable: false,
  },
  'filter.too_many': {
    status: 409,
    title: 'You keep as many filters as there may be',
    advice: 'Delete a saved filter that you no longer need.',
    retryable: false,
  },
  'device.count_too_slow': {
    status: 503,
    title: 'Counting the devices takes too long',
    advice: 'Narrow the search, or go on without the counts: lists are not affected.',
    retryable: false,
  },
  'device.changed': {
    status: 409,
    title: 'The device was changed in between',
    advice: 'Look at the device again and repeat the request.',
    retryable: false,
  },
  'attestation.failed': {
    status: 403,
    title: 'The evidence does not fit the reference values',
    advice: 'Look at the attestation reason of the device.',
    retryable: false,
  },
  'attestation.stale': {
    status: 403,
    title: 'The evidence is older than policy allows',
    advice: 'Answer the challenge that came with this refusal.',
    retryable: false,
  },
  'attestation.nonce_unknown': {
    status: 403,
    title: 'The nonce was not given to this device, or was used',
    advice: 'Answer the challenge that came with this refusal.',
    retryable: false,
  },
  'attestation.hardware_mismatch': {
    status: 403,
    title: 'The evidence comes from other hardware than the device is bound to',
    advice: 'Have an operator review the hardware change.',
    retryable: false,
  },
  'review.own_request': {
    status: 403,
    title: 'Nobody decides what they asked for',
    advice: 'Ask another approver.',
    retryable: false,
  },
  'review.not_permitted': {
    status: 403,
    title: 'The vote no longer stands: the voter may not decide this any more',
    advice: 'Ask an approver whose account is active.',
    retryable: false,
  },
  'review.already_voted': {
    status: 409,
    title: 'This person has voted already',
    advice: 'Ask another approver.',
    retryable: false,
  },
  'review.closed': {
    status: 409,
    title: 'The review is closed',
    advice: 'Look at the subject again for its present state.',
    retryable: false,
  },
  'review.changed': {
    status: 409,
    title: 'What is up for approval has changed',
    advice: 'Look at the review again and vote on its present digest.',
    retryable: false,
  },
  'assertion.unavailable': {
    status: 503,
    title: 'Trust assertions cannot be signed',
    advice:
      'Set SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH to a readable Ed25519 key (PKCS #8, PEM), and SENTINEL_TRUST_ASSERTION_ISSUER.',
    retryable: false,
  },
  'assertion.audience_refused': {
    status: 403,
    title: 'No trust assertion is made for this audience',
    advice: 'Name an audience of SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES, exactly as it is written there.',
    retryable: false,
  },
  'auth.required': {
    status: 401,
    title: 'Sign-in is required',
    advice: 'Sign in, and send the token or the cookie.',
    retryable: false,
  },
  'auth.invalid_credentials': {
    status: 401,
    title: 'The credentials are not valid',
    advice: 'Check user name, password and token.',
    retryable: false,
  },
  'auth.session_ended': { status: 401, title: 'The session has ended', advice: 'Sign in again.', retryable: false },
  'auth.forbidden': {
    status: 403,
    title: 'The permission for this is missing',
    advice: 'Ask somebody with the permission named in detail.',
    retryable: false,
  },
  'auth.csrf': {
    status: 403,
    title: 'The CSRF token is missing or wrong',
    advice: 'Send X-CSRF-Token from GET /api/admin/me.',
    retryable: false,
  },
  'rate.limited': {
    status: 429,
    title: 'Too many requests',
    advice: 'Wait for the time in Retry-After.',
    retryable: true,
  },
  'heartbeat.shed': {
    status: 429,
    title: 'The server has more heartbeats than it can judge',
    advice: 'Send the next heartbeat after the time in Retry-After. The counter was not used.',
    retryable: true,
  },
  'control.backlogged': {
    status: 503,
    title: 'Too much is waiting for this object',
    advice: 'Repeat the request after Retry-After, with the same Idempotency-Key.',
    retryable: true,
  },
  'service.unavailable': {
    status: 503,
    title: 'A part that this needs cannot be reached',
    advice: 'Repeat the request after Retry-After, with the same Idempotency-Key.',
    retryable: true,
  },
  'service.overloaded': {
    status: 503,
    title: 'The server is overloaded',
    advice: 'Repeat the request after Retry-After.',
    retryable: true,
  },
  'outbound.forbidden': {
    status: 422,
    title: 'This address may not be called from here',
    advice: 'Use a public http or https address, or list the range in SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES.',
    retryable: false,
  },
  'outbound.failed': {
    status: 503,
    title: 'A service outside did not answer as it should',
    advice: 'See whether the service that the address names is up and can be reached from this machine.',
    retryable: true,
  },
  'audit.rewritten': {
    status: 500,
    title: 'The audit trail is not the one that was signed',
    advice: 'Verify the trail with full=true, keep the database as it is, and compare it with a backup.',
    retryable: false,
  },
  'data.unreadable': {
    status: 500,
    title: 'Stored data cannot be decrypted, or belongs somewhere else',
    advice: 'Put the data key that it was encrypted with back into SENTINEL_DATA_ENCRYPTION_KEYS_JSON.',
    retryable: false,
  },
  'signature.invalid': {
    status: 422,
    title: 'The signature is not one of a known key over this content',
    advice: 'Take the signed document from its source again, unchanged, and check that its key is trusted.',
    retryable: false,
  },
  'internal.error': {
    status: 500,
    title: 'The server failed',
    advice: 'Report the request id to the operator of this server.',
    retryable: false,
  },
} as const satisfies Record<string, Problem>;

export type ProblemCode = keyof typeof problems;

/** Safe to show to the caller: ids, limits, names of fields; never tokens, keys or evidence. */
export type ProblemFacts = Readonly<Record<string, string | number | boolean | null>>;

/** The one error that callers tell apart, by `code` and never by class, since classes do not survive Temporal or HTTP. */
export class TrustError extends Error {
  readonly code: ProblemCode;
  readonly facts: ProblemFacts;
  constructor(code: ProblemCode, options: { detail?: string; facts?: ProblemFacts; cause?: unknown } = {}) {
    super(options.detail ?? problems[code].title, { cause: options.cause });
    this.name = 'TrustError';
    this.code = code;
    this.facts = options.facts ?? {};
  }
}

/** Tells whether a string from outside (a failure type, a response body) is a code of the table. */
export function isProblemCode(value: unknown): value is ProblemCode {
  return typeof value === 'string' && Object.hasOwn(problems, value);
}

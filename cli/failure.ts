// How a command ends when it does not end well: what is said, what to do next, and the exit code.
import { ApiProblem } from '#client/api-problem.ts';
import { problems, TrustError } from '#contracts/problems.ts';
import { printable } from '#contracts/printable.ts';

/** 1: it failed. 2: it was asked in a wrong way. */
export type FailureExit = 1 | 2;

/** A failure of the command line itself. */
export class CliError extends Error {
  readonly advice: string | null;
  readonly exit: FailureExit;
  constructor(message: string, options: { advice?: string; exit?: FailureExit; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CliError';
    this.advice = options.advice ?? null;
    this.exit = options.exit ?? 1;
  }
}

/** A command that was called in a wrong way. */
export function wrongUsage(message: string, advice?: string): CliError {
  return new CliError(message, { exit: 2, ...(advice === undefined ? {} : { advice }) });
}

interface Failure {
  readonly message: string;
  readonly detail: string | null;
  readonly fields: readonly { readonly field: string; readonly message: string }[];
  readonly advice: string | null;
  readonly code: string | null;
  readonly request_id: string | null;
  readonly exit: FailureExit;
}

/** What there is to say about an error; `null` for one that is a fault of the program. */
export function failureOf(error: unknown): Failure | null {
  if (error instanceof CliError) {
    return { ...nothing, message: error.message, advice: error.advice, exit: error.exit };
  }
  if (error instanceof ApiProblem) {
    const advice = adviceFor(error);
    return {
      message: error.title,
      // Where there is nothing to add, the API says the advice here too.
      detail: [error.title, error.advice, advice].includes(error.detail) ? null : error.detail,
      fields: error.errors.map(({ field, message }) => ({ field, message: inWords(message) })),
      advice,
      code: error.code,
      request_id: error.requestId,
      exit: 1,
    };
  }
  if (error instanceof TrustError) {
    // What does not fit here are settings: there was no request yet.
    const advice = error.code === 'request.invalid' ? 'Look it up in docs/settings.md.' : problems[error.code].advice;
    return { ...nothing, message: error.message, advice, code: error.code };
  }
  return null;
}

/** The failure as lines for people. */
export function describeFailure(failure: Failure): string {
  const reference = [failure.code, failure.request_id && `request ${failure.request_id}`].filter(Boolean).join(', ');
  const lines = [
    `error: ${failure.message}`,
    failure.detail && `  ${failure.detail}`,
    ...failure.fields.map(({ field, message }) => `  ${field}: ${message}`),
    failure.advice && `  → ${failure.advice}`,
    reference && `  (${reference})`,
  ];
  return lines
    .filter((line) => typeof line === 'string' && line !== '')
    .map((line) => line?.split('\n').map(printable).join('\n'))
    .join('\n');
}

/** The failure as an object for programs. */
export function failureObject(failure: Failure): object {
  const { exit: _, ...object } = failure;
  return { error: object };
}

const nothing = { detail: null, fields: [], code: null, request_id: null, exit: 1 } as const;

/** What ids look like, for people. */
function inWords(message: string): string {
  if (message.includes('[A-Za-z0-9._:-]')) return 'is no device id: letters, digits and . _ : - only';
  if (message.includes('[0-9a-f]{8}-[0-9a-f]{4}-')) return 'is no id: the lists show what they look like';
  return message;
}

const signIn = 'Sign in with: sentinel login';

function adviceFor(problem: ApiProblem): string {
  if (problem.code === 'auth.required' || problem.code === 'auth.session_ended') return signIn;
  if (problem.code === 'auth.invalid_credentials')
    return `Check user name and password, or SENTINEL_TOKEN where it is set. ${signIn}`;
  if (problem.code === 'request.invalid') return 'Correct that; --help says what a command takes.';
  if (problem.code === 'resource.not_found') {
    return 'Check the id and the project. sentinel device list and sentinel approval list show what there is.';
  }
  if (problem.status === 0 && /certificate|self-signed/i.test(problem.detail)) {
    return 'Name the authority of the server with --ca-file, or start Sentinel on this machine and use its own.';
  }
  if (problem.status === 0) return 'Start Sentinel with npm start, or name its address with --url.';
  return problem.advice;
}

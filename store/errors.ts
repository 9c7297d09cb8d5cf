// What a database error means to a caller: try again later, take the rows apart, or a mistake of ours.
import { TrustError } from '#contracts/problems.ts';

/** The values do not fit, whatever is tried: bad encodings, violated constraints. */
export function isDataError(error: unknown): boolean {
  return /^(22|23)/.test(codeOf(error));
}

/** The server has said no, and did not take a wrong value for the reason. */
export function isDatabaseError(error: unknown): boolean {
  return /^[0-9A-Z]{5}$/.test(codeOf(error));
}

/** What a row refers to is not there, any more. */
export function isReferenceGone(error: unknown): boolean {
  return codeOf(error) === '23503';
}

/** Somebody else was in the way: deadlock, serialisation failure, lock time-out. */
export function isContention(error: unknown): boolean {
  return /^(40001|40P01|55P03)$/.test(codeOf(error));
}

const unreachableCodes =
  /^(08...|53...|57P0.|57014|25P03|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;
const unreachableMessages = /connection terminated|not queryable|timeout exceeded|read timeout|connection error/i;

/** The statement took longer than it was given. */
export function isCancelled(error: unknown): boolean {
  return codeOf(error) === '57014';
}

/** The database is away, restarting, full or too slow. */
export function isUnreachable(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== '') return unreachableCodes.test(code);
  return error instanceof Error && unreachableMessages.test(error.message);
}

/** Every table of a project refers to it. */
function isWithoutProject(error: unknown): boolean {
  const { constraint } = error as { constraint?: unknown };
  return codeOf(error) === '23503' && typeof constraint === 'string' && constraint.endsWith('_project_id_fkey');
}

/** Gives what a later attempt may cure, and a project that is not there, the code that says so; all else stays what it is. */
export function withProblemCode(error: unknown): unknown {
  if (error instanceof TrustError) return error;
  if (isUnreachable(error) || isContention(error)) return new TrustError('service.unavailable', { cause: error });
  if (isWithoutProject(error))
    return new TrustError('resource.not_found', { detail: 'There is no such project', cause: error });
  return error;
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

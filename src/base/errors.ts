/**
 * Codes of the failures a user can meet. The command line maps them to exit codes (DESIGN §8):
 * `usage` 2, `no-quorum` 3, `refused` and `not-member` 4, all others 1.
 */
export type ErrorCode =
  | 'usage'
  | 'failed'
  | 'no-quorum'
  | 'refused'
  | 'not-member'
  | 'not-found'
  | 'exists'
  | 'busy'
  | 'corrupt'
  | 'timeout'
  | 'unavailable'
  | 'too-many-files'
  | 'disk-full'
  | 'version'

/** The one error class for expected failures: a code, a message that names the thing and the remedy, and the cause. */
export class RkfsError extends Error {
  override name = 'RkfsError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Whether a system call failed for want of space. */
export function lacksSpace(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

import type { ErrorCode } from '../base/errors.js'

/** DESIGN §8. */
export const exitCodes = { done: 0, failed: 1, usage: 2, noQuorum: 3, refused: 4 } as const

export function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'usage':
      return exitCodes.usage
    case 'no-quorum':
      return exitCodes.noQuorum
    case 'refused':
    case 'not-member':
      return exitCodes.refused
    default:
      return exitCodes.failed
  }
}

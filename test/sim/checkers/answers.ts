import type { Kernel } from '../kernel.js'
import { check } from './violation.js'

/** No call hangs for ever (promise 4): each has its answer a little after its mount's `timeout`, whatever fails. */
export function checkAnswers(kernel: Kernel, now: number, frozenUntil: number, timeoutMs: number): void {
  // a read barrier, a change, and what comes after a refusal have a time limit each
  const limitMs = 3 * timeoutMs + 5000
  for (const { what, since } of kernel.outstanding) {
    const from = Math.max(since, frozenUntil)
    check('answers', now - from <= limitMs, () => `no answer within ${limitMs} ms: ${what}`)
  }
}

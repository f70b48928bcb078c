import { inspect, isDeepStrictEqual } from 'node:util'
import { CheckFailed, SysError } from './errors.js'

const show = (value: unknown): string => {
  const text = Buffer.isBuffer(value)
    ? `bytes ${value.toString('hex', 0, 40)}`
    : inspect(value, { breakLength: Infinity })
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** Equal by value, deeply. */
export function equal<T>(found: T, expected: T, what = 'value'): void {
  if (!isDeepStrictEqual(found, expected)) throw new CheckFailed(what, show(expected), show(found))
}

export function ok(condition: boolean, what: string): void {
  if (!condition) throw new CheckFailed('condition', what, 'that it does not hold')
}

/** The call fails with this errno (or one of these, where the standard leaves the choice). */
export function fails(code: string | readonly string[], body: () => unknown, what = 'call'): void {
  let result: unknown
  try {
    result = body()
  } catch (error) {
    failedWith(code, error, what)
    return
  }
  throw new CheckFailed(what, String(code), `success (${show(result)})`)
}

/** The same of a promise. */
export async function rejects(
  code: string | readonly string[],
  promise: Promise<unknown>,
  what = 'call',
): Promise<void> {
  let result: unknown
  try {
    result = await promise
  } catch (error) {
    failedWith(code, error, what)
    return
  }
  throw new CheckFailed(what, String(code), `success (${show(result)})`)
}

function failedWith(code: string | readonly string[], error: unknown, what: string): void {
  if (!(error instanceof SysError)) throw error
  if (![code].flat().includes(error.code)) throw new CheckFailed(`${what} (${error.call})`, String(code), error.code)
}

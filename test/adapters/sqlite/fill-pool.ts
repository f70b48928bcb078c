import { pbkdf2 } from 'node:crypto'

/** libuv's default. */
const poolThreads = 4

/** Keeps all threads of the pool busy, so that what is asked of it now waits: a million iterations are half a second or more. */
export function fillPool(iterations: number): Promise<unknown> {
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      pbkdf2('', '', iterations, 32, 'sha256', error => (error ? reject(error) : resolve()))
    })
  return Promise.all(Array.from({ length: poolThreads }, work))
}

import { constants } from 'node:os'

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))
// two names of one number: the ones that the manual pages use first
names.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP')
names.set(constants.errno.EAGAIN, 'EAGAIN')
// not in Node's list
names.set(6, 'ENXIO').set(26, 'ETXTBSY').set(35, 'EDEADLK').set(40, 'ELOOP')

/** A system call that answered -1. */
export class SysError extends Error {
  readonly call: string
  readonly errno: number
  /** `ENOENT`, … */
  readonly code: string

  constructor(call: string, errno: number) {
    const code = names.get(errno) ?? `errno ${errno}`
    super(`${call}: ${code}`)
    this.name = 'SysError'
    this.call = call
    this.errno = errno
    this.code = code
  }
}

/** A check that did not hold. */
export class CheckFailed extends Error {
  readonly expected: string
  readonly found: string

  constructor(what: string, expected: string, found: string) {
    super(`${what}: expected ${expected}, found ${found}`)
    this.name = 'CheckFailed'
    this.expected = expected
    this.found = found
  }
}

/** The environment lacks what the case needs. */
export class Skip extends Error {}

import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('./failing-calls.c', import.meta.url))
/** As in failing-calls.c. */
const kinds = ['fdatasync', 'pwritev', 'pwrite', 'pread'] as const
const sizeBytes = 4096
const patternAt = 64

export type FailingCall = (typeof kinds)[number]

/** Compiles the library; answers its path. */
export function compileFailingCalls(folder: string): string {
  const library = join(folder, 'failing-calls.so')
  const { status, stderr } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`cc: ${stderr}`)
  return library
}

export const failingCallsSkip = spawnSync('cc', ['--version']).status !== 0 && 'needs a C compiler (Debian: gcc)'

/** Lets the next calls of one kind fail with EIO in one node, on files of one folder. */
export class FailingCalls {
  readonly environment: Record<string, string>
  readonly #path: string

  constructor(library: string, path: string) {
    this.#path = path
    this.environment = { LD_PRELOAD: library, FAILING_CALLS: path }
    writeFileSync(path, Buffer.alloc(sizeBytes))
  }

  /** `where`: a part of the paths that it concerns. */
  fail(call: FailingCall, count: number, where: string): void {
    const file = openSync(this.#path, 'r+')
    try {
      writeSync(file, `${where}\0`, patternAt)
      const left = Buffer.alloc(4)
      left.writeInt32LE(count)
      writeSync(file, left, 0, 4, 4 * kinds.indexOf(call))
    } finally {
      closeSync(file)
    }
  }

  /** How many are still to fail. */
  left(call: FailingCall): number {
    const file = openSync(this.#path, 'r')
    try {
      const left = Buffer.alloc(4)
      readSync(file, left, 0, 4, 4 * kinds.indexOf(call))
      return left.readInt32LE(0)
    } finally {
      closeSync(file)
    }
  }
}

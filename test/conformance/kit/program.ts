import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync } from 'node:fs'
import { sys } from './sys.js'
import type { Identity } from './identity.js'

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  /** Why it did not start. */
  readonly error: string | undefined
}

/** Runs a program of the case's directory. */
export function runProgram(path: string, args: readonly string[] = [], who?: Identity): Ran {
  const { status, stdout, error } = spawnSync(path, args, {
    encoding: 'utf8',
    timeout: 8000,
    killSignal: 'SIGKILL',
    ...(who && { uid: who.uid, gid: who.gid }),
  })
  return { status, stdout, error: (error as NodeJS.ErrnoException | undefined)?.code }
}

/** A copy of a program of the system. */
export function copyProgram(from: string, to: string, mode = 0o755): void {
  copyFileSync(from, to)
  chmodSync(to, mode)
}

/** A script of /bin/sh. */
export function script(path: string, body: string, mode = 0o755): void {
  const fd = sys.open(path, 0o101, mode)
  sys.write(fd, `#!/bin/sh\n${body}\n`)
  sys.close(fd)
}

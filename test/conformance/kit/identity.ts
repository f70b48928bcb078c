import { Skip } from './errors.js'
import { bind } from './libc.js'

export interface Identity {
  readonly uid: number
  readonly gid: number
  readonly groups?: readonly number[]
}

/** Two people without an account, and a group that either may be in. */
export const alice: Identity = { uid: 61001, gid: 61001 }
export const bob: Identity = { uid: 61002, gid: 61002 }
export const staff = 61100

const numbers: Record<string, readonly [number, number, number]> = {
  x64: [116, 119, 117],
  arm64: [159, 149, 147],
}
const syscall = bind('int64 syscall(int64, int64, int64, int64)')
const syscallList = bind('int64 syscall(int64, int64, const void *, int64)')

/**
 * Runs `body` with another identity. The raw system calls change the calling thread alone, where glibc would change the
 * whole process, and the saved uid 0 leads back: no process is needed for each identity. The kernel drops the effective
 * capabilities with the effective uid (capabilities(7)), and access(2) sees the real uid of the same person.
 */
export function as<T>(who: Identity, body: () => T): T {
  const [setgroups, setresgid, setresuid] = numbers[process.arch] ?? [-1, -1, -1]
  if (process.geteuid?.() !== 0 || setgroups === -1) throw new Skip('needs root')
  const groups = (list: readonly number[]): number =>
    syscallList(setgroups, list.length, Buffer.from(Uint32Array.from(list).buffer), 0)
  groups(who.groups ?? [])
  syscall(setresgid, who.gid, who.gid, 0)
  syscall(setresuid, who.uid, who.uid, 0)
  try {
    return body()
  } finally {
    syscall(setresuid, 0, 0, 0)
    syscall(setresgid, 0, 0, 0)
    groups([])
  }
}

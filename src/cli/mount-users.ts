import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface MountUser {
  readonly pid: number
  readonly name: string
}

/** Programs that are named; the first ones are enough to go on with. */
const USERS_MAX = 10

/**
 * Programs that keep a mount busy, by what /proc says of them: their working and root directories, programs and open
 * files. Reads links only, so that nothing looks into the mount. What belongs to other users is seen by root alone, and
 * files that are only mapped are not.
 */
export function usersOf(mountPoint: string): MountUser[] {
  const users: MountUser[] = []
  for (const entry of list('/proc')) {
    if (!/^\d+$/.test(entry) || !uses(`/proc/${entry}`, mountPoint)) continue
    users.push({ pid: Number(entry), name: nameOf(entry) })
    if (users.length === USERS_MAX) break
  }
  return users
}

function uses(proc: string, mountPoint: string): boolean {
  const inside = (link: string): boolean => {
    try {
      const target = readlinkSync(link)
      return target === mountPoint || target.startsWith(`${mountPoint}/`)
    } catch {
      return false
    }
  }
  if (['cwd', 'root', 'exe'].some(link => inside(`${proc}/${link}`))) return true
  return list(`${proc}/fd`).some(fd => inside(`${proc}/fd/${fd}`))
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
  } catch {
    return '?'
  }
}

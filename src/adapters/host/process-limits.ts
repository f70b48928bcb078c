import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RkfsError } from '../../base/errors.js'
import { KiB, MiB } from '../../base/limits.js'

/** Threads of a node with some mounts: those of Node.js, two for each mount, and those that work on its files. */
export const nodeThreads = 24
/** … that it starts when its program runs already. */
export const furtherNodeThreads = 12
/** The log has files of 16 MiB; the files of SQLite grow with the channel. */
const fileBytesLeast = 256 * MiB

/** Where the kernel says what is limited and taken; tests have others. */
export interface Kernel {
  readonly proc: string
  readonly cgroups: string
  readonly uid: number
}

const thisKernel = (): Kernel => ({ proc: '/proc', cgroups: '/sys/fs/cgroup', uid: process.getuid?.() ?? 0 })

/**
 * Before a node is started that needs so many more `threads`: fails where the limits that it would have let it come up half,
 * or fail at its first larger file. What the kernel does not tell is taken for enough.
 */
export function requireProcessLimits(what: string, threads: number, kernel: Kernel = thisKernel()): void {
  const bytes = limitOf(kernel, 'Max file size')
  if (bytes < fileBytesLeast) {
    throw new RkfsError(
      'failed',
      `${what}: its files may have ${Math.floor(bytes / KiB)} KiB at most (ulimit -f, LimitFSIZE in systemd), and it needs ` +
        `${fileBytesLeast / MiB} MiB: raise the limit`,
    )
  }
  for (const { left, limit, name } of [ofUser(kernel), ...ofGroups(kernel)]) {
    if (left >= threads) continue
    throw new RkfsError(
      'failed',
      `${what}: only ${Math.max(0, left)} more processes or threads may be started here (${name} allows ${limit}), and it ` +
        `needs ${threads}: end others, or raise the limit`,
    )
  }
}

/** How much processor time this process may use in all, in seconds; Infinity: there is no limit. */
export function processorSeconds(kernel: Kernel = thisKernel()): number {
  return limitOf(kernel, 'Max cpu time')
}

interface Allowance {
  readonly left: number
  readonly limit: number
  readonly name: string
}

function ofUser(kernel: Kernel): Allowance {
  const name = 'ulimit -u, or LimitNPROC in systemd,'
  const limit = limitOf(kernel, 'Max processes')
  // the kernel lets root pass
  if (limit === Infinity || kernel.uid === 0) return { left: Infinity, limit, name }
  let taken = 0
  for (const entry of list(kernel.proc)) {
    if (!/^\d+$/.test(entry)) continue
    const status = read(join(kernel.proc, entry, 'status'))
    if (Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]) !== kernel.uid) continue
    taken += Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return { left: limit - taken, limit, name }
}

/** The control group of this process, and those above it. */
function ofGroups({ proc, cgroups }: Kernel): Allowance[] {
  const found: Allowance[] = []
  let path = /^0::(.*)$/m.exec(read(join(proc, 'self/cgroup')))?.[1] ?? '/'
  for (; path !== '/' && path !== '.'; path = join(path, '..')) {
    const limit = Number(read(join(cgroups, path, 'pids.max')) || 'max')
    const taken = Number(read(join(cgroups, path, 'pids.current')))
    if (!Number.isNaN(limit)) found.push({ left: limit - taken, limit, name: `pids.max of the control group ${path}` })
  }
  return found
}

function limitOf({ proc }: Kernel, name: string): number {
  const soft = new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(read(join(proc, 'self/limits')))?.[1]
  return soft === undefined ? Infinity : Number(soft)
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** Empty where there is none, or it may not be read. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

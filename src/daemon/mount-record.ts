import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { mountsAt, readMounts, RKFS_TYPE } from '../adapters/fuse/mountinfo.js'
import { writeFileAtomic } from '../adapters/host/atomic-file.js'
import { parseMountOptions } from './mount-options.js'

/** A mount of this home's node, as its file `mounts.json` has it. */
export interface RecordedMount {
  readonly directory: string
  readonly channel: string
  /** As they were given. */
  readonly options: readonly string[]
  /** `major:minor` in the kernel's table; empty: it was not there when the node ended. */
  readonly device: string
  /** It is made anew after a crash, and not when the node is started again: its maker sees to that (fstab, `-f`). */
  readonly temporary?: boolean
}

const version = 1

function recordPath(home: string): string {
  return join(home, 'mounts.json')
}

export function writeMountRecord(home: string, mounts: readonly RecordedMount[]): void {
  writeFileAtomic(recordPath(home), `${JSON.stringify({ version, mounts }, null, 2)}\n`)
}

/** The recorded mounts that the kernel's table still has: those of a node that runs, or dead ones, which a crash left. */
export function recordedMounts(home: string): RecordedMount[] {
  const table = readMounts()
  return readRecord(home).filter(({ directory, device }) =>
    mountsAt(directory, table).some(entry => entry.type === RKFS_TYPE && entry.device === device),
  )
}

/** Those that come back when the node starts, whatever the kernel's table has. */
export function rememberedMounts(home: string): RecordedMount[] {
  return readRecord(home).filter(mount => mount.temporary !== true)
}

/** While no node runs. Answers whether it was remembered. */
export function forgetMount(home: string, directory: string): boolean {
  const mounts = readRecord(home)
  const others = mounts.filter(mount => mount.directory !== directory)
  if (others.length === mounts.length) return false
  writeMountRecord(home, others)
  return true
}

/** A record that cannot be read counts as empty: it is a convenience, and the dead mounts are there all the same. */
function readRecord(home: string): RecordedMount[] {
  try {
    const read = JSON.parse(readFileSync(recordPath(home), 'utf8')) as { version?: unknown; mounts?: unknown }
    if (read.version !== version || !Array.isArray(read.mounts)) return []
    return read.mounts.filter(isRecordedMount)
  } catch {
    return []
  }
}

function isRecordedMount(value: unknown): value is RecordedMount {
  if (typeof value !== 'object' || value === null) return false
  const { directory, channel, options, device, temporary } = value as Record<string, unknown>
  const texts = [directory, channel, device]
  return (
    texts.every(text => typeof text === 'string') &&
    (temporary === undefined || typeof temporary === 'boolean') &&
    Array.isArray(options) &&
    options.every(option => typeof option === 'string') &&
    areMountOptions(options)
  )
}

function areMountOptions(options: readonly string[]): boolean {
  try {
    parseMountOptions(options)
    return true
  } catch {
    return false
  }
}

import { lstatSync, readdirSync, statfsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'

/** A node's human name when none is configured: the machine's, cut to what a certificate's subject takes. */
export function defaultNodeName(): string {
  const name = hostname()
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 64)
  return name === '' ? 'node' : name
}

export interface DiskSpace {
  readonly totalBytes: number
  /** What this user may still write. */
  readonly freeBytes: number
  readonly freeInodes: number
}

/** The space of the file system that holds `path`. */
export function diskSpace(path: string): DiskSpace {
  const stats = statfsSync(path)
  return {
    totalBytes: stats.blocks * stats.bsize,
    freeBytes: stats.bavail * stats.bsize,
    freeInodes: stats.ffree,
  }
}

/** What a folder and all that is in it takes on the disk, as du(1) counts it. Files that go meanwhile count for nothing. */
export function bytesOnDisk(path: string): number {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return 0
  let bytes = stats.blocks * 512
  if (stats.isDirectory()) for (const name of readdirSync(path)) bytes += bytesOnDisk(join(path, name))
  return bytes
}

import { statfsSync } from 'node:fs'
import { hostname } from 'node:os'

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

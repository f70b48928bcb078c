import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { errnoName } from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import { nameBytesMax, payloadBytesMax } from '../base/limits.js'
import type { Channel } from '../channel/channel.js'
import { getInode } from '../fs/inodes.js'
import type { Operation } from '../fs/operation.js'
import { rootInode, S_IFDIR, S_IFREG } from '../fs/records.js'
import type { View } from '../fs/view.js'
import type { Conflict } from './conflicts.js'
import { findPaths, readable } from './inode-paths.js'

export interface RestoreHost {
  readonly channel: Channel
  nextInode(): number
  drained(timeoutMs: number): Promise<void>
}

const changeMs = 30_000

/**
 * Writes what a conflict kept into a new file beside the one that it was written to, and waits until a majority has it.
 * Answers its path. Nothing that is there is touched: which bytes count is for people to decide.
 */
export async function restoreConflict(host: RestoreHost, conflict: Conflict): Promise<string> {
  checkRestorable(conflict)
  const { id, ino, ranges, copy, path } = conflict
  const { channel } = host
  const view = channel.view
  const at = findPaths(view, new Set([ino])).get(ino)
  // the file is gone: its directory may still be where it was
  const folderPath = at === undefined ? folderOf(path) : at.path.slice(0, -at.name.length - 1)
  const found = at?.parent ?? directoryAt(view, folderPath)
  const parent = found ?? rootInode
  const base = at?.name ?? Buffer.from(path.split('/').at(-1) || `inode-${ino}`).toString('latin1')
  const name = freeName(channel, parent, base, id)
  const like = getInode(view, ino)
  const made = host.nextInode()
  const descriptor = openSync(copy, 'r')
  try {
    await change(channel, {
      kind: 'make',
      parent,
      name,
      ino: made,
      mode: S_IFREG | ((like?.mode ?? 0o600) & 0o777),
      uid: like?.uid ?? 0,
      gid: like?.gid ?? 0,
      rdev: 0,
      target: '',
    })
    for (const { offset, length } of ranges) {
      for (let done = 0; done < length;) {
        const payload = Buffer.alloc(Math.min(payloadBytesMax, length - done))
        const count = readSync(descriptor, payload, 0, payload.length, offset + done)
        if (count === 0) throw new RkfsError('failed', `${copy} is shorter than it was`)
        const write = { kind: 'write', ino: made, offset: offset + done, length: count, killPrivileges: false } as const
        await change(channel, write, payload.subarray(0, count))
        done += count
      }
    }
  } finally {
    closeSync(descriptor)
  }
  await host.drained(changeMs)
  return readable(`${found === undefined ? '' : folderPath}/${name}`)
}

/** Of a path as the list of conflicts has it. Empty where it was not known, and of the root. */
function folderOf(path: string): string {
  if (!path.startsWith('/')) return ''
  return Buffer.from(path.slice(0, path.lastIndexOf('/'))).toString('latin1')
}

/** The directory that a path leads to now. */
function directoryAt(view: View, path: string): number | undefined {
  let ino: number = rootInode
  for (const name of path.split('/').filter(part => part !== '')) {
    const entry = view.get('entry', ino, name)
    if (entry?.type !== S_IFDIR) return undefined
    ino = entry.ino
  }
  return ino
}

/** Throws `failed` when there is nothing to write back. */
export function checkRestorable(conflict: Conflict): asserts conflict is Conflict & { ino: number } {
  const { id, ino, ranges, copy } = conflict
  const otherwise = `\`rkfs conflicts discard <channel> ${id}\` forgets it`
  if (ino === undefined || ranges.length === 0) {
    const words = `conflict ${id} is a change of a name or of attributes: there is no data to write back`
    throw new RkfsError('failed', `${words}; ${otherwise}`)
  }
  if (!existsSync(copy)) throw new RkfsError('failed', `the copy of conflict ${id}, ${copy}, is gone: ${otherwise}`)
}

function freeName(channel: Channel, parent: number, base: string, id: number): string {
  for (let n = 1; ; n++) {
    const suffix = `.conflict-${id}${n === 1 ? '' : `-${n}`}`
    const name = base.slice(0, nameBytesMax - suffix.length) + suffix
    if (channel.view.get('entry', parent, name) === undefined) return name
  }
}

function change(channel: Channel, operation: Operation, payload: Uint8Array = new Uint8Array(0)): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.change(operation, payload, {
      timeoutMs: changeMs,
      durable: false,
      done: errno => {
        if (errno === 0) resolve()
        else reject(new RkfsError('failed', `the copy could not be written into the channel: ${errnoName(errno)}`))
      },
    })
  })
}

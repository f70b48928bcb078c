import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fsyncDirectory, writeFileAtomic } from '../adapters/host/atomic-file.js'
import { errnoName } from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import type { LostChange } from '../channel/ports.js'
import { describeOperation, isWrite, type Operation, type SetAttributesOperation } from '../fs/operation.js'
import type { ConflictDescription } from './control-protocol.js'

/** A conflict as the list on disk has it; what versions before this one wrote has neither id nor ranges. */
export interface Conflict extends ConflictDescription {
  /** The file that was written, or undefined. */
  readonly ino?: number
}

/** Tells where an inode is found in the channel; empty where it is not known. */
export type PathOf = (ino: number) => string

/**
 * Changes that programs believed done and that have no place in the order: their data stays on this machine (DESIGN §2,
 * promise 5). What one file lost at once is one conflict with one copy, which holds the bytes where they were written.
 */
export class Conflicts {
  readonly #folder: string
  readonly #list: string
  #last = 0
  #count = 0

  constructor(channelFolder: string) {
    this.#folder = join(channelFolder, 'conflicts')
    this.#list = join(this.#folder, 'list.jsonl')
    const known = this.list()
    this.#count = known.length
    for (const { id } of known) this.#last = Math.max(this.#last, id)
  }

  get count(): number {
    return this.#count
  }

  /**
   * All of it is on stable storage when it returns: what is reported leaves the journal, and stands nowhere else. When it
   * fails nothing of it is left.
   */
  add(changes: readonly LostChange[], pathOf: PathOf): Conflict[] {
    const last = this.#last
    const listed = existsSync(this.#list) ? statSync(this.#list).size : 0
    try {
      return this.#add(changes, pathOf)
    } catch (error) {
      // what fills the disk is in the way of the next attempt
      for (let id = last + 1; id <= this.#last + 1; id++) rmSync(this.#copyOf(id), { force: true })
      if (existsSync(this.#list)) truncateSync(this.#list, listed)
      this.#last = last
      throw error
    }
  }

  #copyOf(id: number): string {
    return join(this.#folder, `${id}.data`)
  }

  #add(changes: readonly LostChange[], pathOf: PathOf): Conflict[] {
    if (mkdirSync(this.#folder, { recursive: true, mode: 0o700 }) !== undefined) fsyncDirectory(dirname(this.#folder))
    /** By the file whose copy holds their bytes. */
    const contents = new Map<number, LostChange[]>()
    const found: Conflict[] = []
    for (const change of changes) {
      const { operation } = change
      if (isWrite(operation)) {
        const content = contents.get(operation.ino)
        if (content === undefined) contents.set(operation.ino, [change])
        else content.push(change)
      } else {
        const ino = inodeOf(operation)
        const path = ino === undefined ? '' : pathOf(ino)
        found.push(this.#describe([change], path, ino, [], '', inWords(operation)))
      }
    }
    for (const [ino, content] of contents) found.push(this.#keep(ino, content, pathOf(ino)))
    const lines = found.map(line => `${JSON.stringify(line)}\n`).join('')
    appendFileSync(this.#list, `${this.#endsWithinLine() ? '\n' : ''}${lines}`, { mode: 0o600, flush: true })
    fsyncDirectory(this.#folder)
    this.#count += found.length
    return found
  }

  /** Power was lost while the list was written. */
  #endsWithinLine(): boolean {
    return existsSync(this.#list) && !/(^|\n)$/.test(readFileSync(this.#list, 'utf8'))
  }

  #describe(
    changes: readonly LostChange[],
    path: string,
    ino: number | undefined,
    ranges: ConflictDescription['ranges'],
    copy: string,
    what: string,
  ): Conflict {
    const time = new Date(Number(changes.at(-1)!.time / 1_000_000n)).toISOString()
    const reason = reasonOf(changes[0]!.cause)
    return { id: ++this.#last, time, path, ranges, what, reason, copy, ...(ino === undefined ? {} : { ino }) }
  }

  /** The bytes at their offsets; what was appended, after them. */
  #keep(ino: number, changes: readonly LostChange[], path: string): Conflict {
    const copy = this.#copyOf(this.#last + 1)
    const descriptor = openSync(copy, 'w', 0o600)
    const ranges: { offset: number; length: number }[] = []
    try {
      let end = 0
      for (const { operation, payload } of changes) {
        const offset = operation.kind === 'append' || !('offset' in operation) ? end : operation.offset
        for (let at = 0; at < payload.length;)
          at += writeSync(descriptor, payload, at, payload.length - at, offset + at)
        end = Math.max(end, offset + payload.length)
        addRange(ranges, offset, payload.length)
      }
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    const isAppended = changes.every(({ operation }) => operation.kind === 'append')
    return this.#describe(changes, path, ino, ranges, copy, isAppended ? 'appended' : 'written')
  }

  list(): Conflict[] {
    if (!existsSync(this.#list)) return []
    const found: Conflict[] = []
    const lines = readFileSync(this.#list, 'utf8').split('\n')
    for (const [at, line] of lines.entries()) {
      if (line === '') continue
      const nothing = { id: at + 1, time: '', path: '', ranges: [], what: '', copy: this.#folder }
      try {
        const conflict = JSON.parse(line) as Conflict
        found.push({ ...nothing, ...conflict })
      } catch {
        found.push({ ...nothing, reason: 'a damaged line in the list of conflicts' })
      }
    }
    return found
  }

  /** Those of these ids; all of them when there are none. Throws `not-found`. */
  chosen(ids: readonly number[]): Conflict[] {
    const all = this.list()
    const unknown = ids.find(id => !all.some(conflict => conflict.id === id))
    if (unknown !== undefined)
      throw new RkfsError(
        'not-found',
        `there is no conflict ${unknown} here: \`rkfs conflicts <channel>\` lists those that there are`,
      )
    return ids.length === 0 ? all : all.filter(({ id }) => ids.includes(id))
  }

  /** Forgets conflicts, with their copies. */
  remove(conflicts: readonly Conflict[]): void {
    const gone = new Set(conflicts.map(({ id }) => id))
    const left = this.list().filter(({ id }) => !gone.has(id))
    if (left.length === this.#count) return
    writeFileAtomic(this.#list, left.map(line => `${JSON.stringify(line)}\n`).join(''))
    // a damaged line names the folder
    for (const { copy } of conflicts) if (copy !== '' && copy !== this.#folder) rmSync(copy, { force: true })
    this.#count = left.length
  }
}

/** What a change would have done to the file, or in the directory, that the list names. */
function inWords(operation: Operation): string {
  switch (operation.kind) {
    case 'setattr':
      return attributesInWords(operation)
    case 'make':
      return `${JSON.stringify(operation.name)} made in it`
    case 'unlink':
    case 'rmdir':
      return `${JSON.stringify(operation.name)} removed from it`
    case 'rename':
      return `${JSON.stringify(operation.name)} renamed to ${JSON.stringify(operation.newName)}`
    case 'link':
      return `linked as ${JSON.stringify(operation.name)}`
    case 'allocate':
      return `fallocate of ${operation.offset}+${operation.length}`
    case 'setxattr':
    case 'removexattr':
      return `attribute ${operation.name} ${operation.kind === 'setxattr' ? 'set' : 'removed'}`
    default:
      return describeOperation(operation)
  }
}

function attributesInWords({ mode, uid, gid, size, atime, mtime }: SetAttributesOperation): string {
  const parts: string[] = []
  if (size !== undefined) parts.push(`size set to ${size}`)
  if (mode !== undefined) parts.push(`mode set to ${(mode & 0o7777).toString(8)}`)
  if (uid !== undefined || gid !== undefined) parts.push(`owner set to ${uid ?? ''}:${gid ?? ''}`)
  if (atime !== undefined || mtime !== undefined) parts.push('times set')
  return parts.join(', ')
}

function reasonOf(cause: LostChange['cause']): string {
  switch (cause.kind) {
    case 'refused':
      return `refused with ${errnoName(cause.errno)}`
    case 'session-ended':
      return 'this member was silent, or fenced, and others went on'
    case 'earlier-run':
      return 'the node ended before others had it'
  }
}

/** The file, or the directory, that the list names for a change. */
export function inodeOf(operation: Operation): number | undefined {
  if ('ino' in operation) return operation.ino
  return 'parent' in operation ? operation.parent : undefined
}

/** Keeps ranges sorted and apart, as far as they come one after the other. */
function addRange(ranges: { offset: number; length: number }[], offset: number, length: number): void {
  const touched = ranges.filter(range => range.offset <= offset + length && offset <= range.offset + range.length)
  const start = Math.min(offset, ...touched.map(range => range.offset))
  const end = Math.max(offset + length, ...touched.map(range => range.offset + range.length))
  for (const range of touched) ranges.splice(ranges.indexOf(range), 1)
  ranges.push({ offset: start, length: end - start })
  ranges.sort((a, b) => a.offset - b.offset)
}

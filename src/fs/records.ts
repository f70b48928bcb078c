import { ByteReader, ByteWriter, fromLatin1, latin1, malformed } from '../base/bytes.js'
import type { MemberId } from '../base/ids.js'
import type { Table } from './store-port.js'

/** File types of st_mode (inode(7)). */
export const S_IFMT = 0o170000
export const S_IFDIR = 0o040000
export const S_IFREG = 0o100000
export const S_IFCHR = 0o020000
export const S_IFLNK = 0o120000

export const rootInode = 1

/** A file, directory, link or node. Times in nanoseconds since 1970. */
export interface Inode {
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly size: number
  /** Bytes that an extent covers or fallocate(2) reserved. */
  readonly allocated: number
  readonly atime: bigint
  readonly mtime: bigint
  readonly ctime: bigint
  /**
   * Directories: where they hang, for the check against cycles. Regular files: the number (`Place`) of the newest change that
   * took bytes away or put others' in their place, which no extent tells (truncate, punched holes, shared bytes). Else 0.
   */
  readonly parent: number
  /** Directories: how many names they hold; else 0. */
  readonly children: number
  /** Symbolic links: the target, a binary string. Regular files: what fallocate(2) reserved (`reserved.ts`). Else ''. */
  readonly target: string
}

export interface DirectoryEntry {
  readonly ino: number
  /** The type bits of its mode (S_IFMT). */
  readonly type: number
}

/** A run of a chunk's bytes: `length` bytes from `start` within the chunk stand in `blob` from `offset` on. */
export interface Extent {
  readonly start: number
  readonly length: number
  readonly blob: number
  readonly offset: number
}

/**
 * INVARIANT: sorted by `start`, no two overlap, within `chunkBytes`. What no extent covers is zeros. An empty list says that
 * the chunk's extents stand in its pages, whose records are lists of the same kind (`chunks.ts`).
 */
export type Chunk = readonly Extent[]

/** A member's newest session, and the newest change of it that was applied. */
export interface Session {
  readonly session: number
  readonly sequence: number
  /** No more of its changes are taken. */
  readonly ended?: boolean
  /** Those before it, newest first, with the last change of each that was applied; as far as `open-session` began them. */
  readonly earlier?: readonly EarlierSession[]
  /** The highest inode number that it made since there are `open-session` operations, but for those that are drawn; 0: none. */
  readonly inode?: number
  /** Changes of content, of this session and those before, that have no place although later ones do; the newest. */
  readonly refused?: readonly RefusedChange[]
}

export interface RefusedChange {
  readonly session: number
  readonly sequence: number
  readonly errno: number
}

/** With more of them in one session, the session ends. */
export const refusedMax = 64

export interface EarlierSession {
  readonly session: number
  readonly sequence: number
}

/**
 * Earlier sessions that a record names. A member that was away learns from them which of its old changes have their place;
 * each is one start of its process that it has not seen applied. Who misses more keeps copies of what is in the order, too.
 */
export const earlierSessionsMax = 16

/** The record of each table. */
export interface Records {
  inode: Inode
  entry: DirectoryEntry
  chunk: Chunk
  xattr: Uint8Array
  session: Session
  setting: Uint8Array
}

export function isDirectory(inode: Inode): boolean {
  return (inode.mode & S_IFMT) === S_IFDIR
}
export function isRegular(inode: Inode): boolean {
  return (inode.mode & S_IFMT) === S_IFREG
}
export function isSymlink(inode: Inode): boolean {
  return (inode.mode & S_IFMT) === S_IFLNK
}

export function encodeRecord<T extends Table>(table: T, record: Records[T]): Uint8Array {
  switch (table) {
    case 'inode': {
      const inode = record as Inode
      return new ByteWriter(112 + inode.target.length)
        .u32(inode.mode)
        .u32(inode.nlink)
        .u32(inode.uid)
        .u32(inode.gid)
        .u32(inode.rdev)
        .u64(inode.size)
        .u64(inode.allocated)
        .i64(inode.atime)
        .i64(inode.mtime)
        .i64(inode.ctime)
        .u64(inode.parent)
        .u32(inode.children)
        .raw(fromLatin1(inode.target))
        .done()
    }
    case 'entry': {
      const entry = record as DirectoryEntry
      return new ByteWriter(12).u64(entry.ino).u32(entry.type).done()
    }
    case 'chunk': {
      const chunk = record as Chunk
      const writer = new ByteWriter(20 * chunk.length)
      for (const extent of chunk) {
        // a member's overlay has negative blobs, but those are never stored
        writer.u32(extent.start).u32(extent.length).u64(extent.blob).u32(extent.offset)
      }
      return writer.done()
    }
    case 'session': {
      const session = record as Session
      const { ended = false, earlier = [], inode, refused = [] } = session
      const writer = new ByteWriter(29 + 16 * earlier.length + 20 * refused.length)
        .u64(session.session)
        .u64(session.sequence)
      // what the first format wrote is written as it was: members compare the sums of their records
      if (!ended && earlier.length === 0 && inode === undefined && refused.length === 0) return writer.done()
      writer.u8((ended ? 1 : 0) | (inode === undefined ? 0 : 2) | (refused.length === 0 ? 0 : 4))
      if (inode !== undefined) writer.u64(inode)
      if (refused.length > 0) writer.u32(refused.length)
      for (const each of refused) writer.u64(each.session).u64(each.sequence).u32(each.errno)
      for (const each of earlier) writer.u64(each.session).u64(each.sequence)
      return writer.done()
    }
    default:
      return record as Uint8Array
  }
}

/** Throws `corrupt` for bytes that `encodeRecord` did not make. */
export function decodeRecord<T extends Table>(table: T, bytes: Uint8Array): Records[T] {
  const decoded = decode(table, bytes)
  return decoded as Records[T]
}

function decode(table: Table, bytes: Uint8Array): Records[Table] {
  const reader = new ByteReader(bytes, `${table} record`)
  switch (table) {
    case 'inode':
      return {
        mode: reader.u32(),
        nlink: reader.u32(),
        uid: reader.u32(),
        gid: reader.u32(),
        rdev: reader.u32(),
        size: reader.u64(),
        allocated: reader.u64(),
        atime: reader.i64(),
        mtime: reader.i64(),
        ctime: reader.i64(),
        parent: reader.u64(),
        children: reader.u32(),
        target: latin1(reader.raw(reader.left)),
      }
    case 'entry': {
      const entry = { ino: reader.u64(), type: reader.u32() }
      reader.end()
      return entry
    }
    case 'chunk': {
      if (bytes.length % 20 !== 0) throw malformed('chunk record: its length')
      const chunk: Extent[] = []
      while (reader.left > 0) {
        chunk.push({ start: reader.u32(), length: reader.u32(), blob: reader.u64(), offset: reader.u32() })
      }
      return chunk
    }
    case 'session': {
      const session = { session: reader.u64(), sequence: reader.u64() }
      if (reader.left === 0) return session
      const flags = reader.u8()
      if (flags > 7 || (flags === 0 && reader.left === 0)) throw malformed(`session record: flags ${flags}`)
      const ended = (flags & 1) !== 0
      const inode = (flags & 2) === 0 ? {} : { inode: reader.u64() }
      const count = (flags & 4) === 0 ? 0 : reader.u32()
      if (count > refusedMax || (count === 0) !== ((flags & 4) === 0))
        throw malformed('session record: refused changes')
      const refused: RefusedChange[] = []
      while (refused.length < count) {
        refused.push({ session: reader.u64(), sequence: reader.u64(), errno: reader.u32() })
      }
      const earlier: EarlierSession[] = []
      while (reader.left > 0) earlier.push({ session: reader.u64(), sequence: reader.u64() })
      return {
        ...session,
        ...(ended ? { ended } : {}),
        ...(earlier.length > 0 ? { earlier } : {}),
        ...inode,
        ...(count > 0 ? { refused } : {}),
      }
    }
    default:
      return bytes
  }
}

/** The empty file system: the root directory, owned by root, as a new channel has it. */
export function rootDirectory(): Inode {
  return {
    mode: S_IFDIR | 0o755,
    nlink: 2,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 4096,
    allocated: 0,
    atime: 0n,
    mtime: 0n,
    ctime: 0n,
    parent: rootInode,
    children: 0,
    target: '',
  }
}

export function sessionKey(member: MemberId): string {
  return member
}

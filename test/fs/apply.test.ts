import t from 'tap'
import * as errno from '../../src/base/errno.js'
import { errnoName } from '../../src/base/errno.js'
import { chunkBytes, fileSizeMax, linkCountMax, linkTargetBytesMax } from '../../src/base/limits.js'
import { getInode, membersDescriptor, membersVersion } from '../../src/fs/apply.js'
import { xattrNames } from '../../src/fs/attributes.js'
import { namelessKey, nowhere, type Operation, type SetAttributesOperation } from '../../src/fs/operation.js'
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../src/fs/records.js'
import { Machine, treeOf } from './support/machine.js'

// Operations as one writes them on a shell, by inode number.
const dir = (parent: number, name: string, ino: number): Operation => make(parent, name, ino, S_IFDIR | 0o755)
const file = (parent: number, name: string, ino: number, mode = 0o644): Operation =>
  make(parent, name, ino, S_IFREG | mode)
const symlink = (parent: number, name: string, ino: number, target: string): Operation =>
  make(parent, name, ino, S_IFLNK | 0o777, target)
const node = (parent: number, name: string, ino: number, rdev: number): Operation => ({
  ...make(parent, name, ino, 0o020600),
  rdev,
})
function make(parent: number, name: string, ino: number, mode: number, target = ''): Operation & { kind: 'make' } {
  return { kind: 'make', parent, name, ino, mode, uid: 7, gid: 8, rdev: 0, target }
}
const link = (ino: number, parent: number, name: string): Operation => ({ kind: 'link', ino, parent, name })
const unlink = (parent: number, name: string): Operation => ({ kind: 'unlink', parent, name })
const rmdir = (parent: number, name: string): Operation => ({ kind: 'rmdir', parent, name })
const move = (parent: number, name: string, newParent: number, newName: string, flags = 0): Operation => ({
  kind: 'rename',
  parent,
  name,
  newParent,
  newName,
  flags,
})
const set = (ino: number, change: Partial<SetAttributesOperation>): Operation => ({
  kind: 'setattr',
  ino,
  killPrivileges: false,
  ...change,
})
const write = (ino: number, offset: number, length: number, killPrivileges = false): Operation => ({
  kind: 'write',
  ino,
  offset,
  length,
  killPrivileges,
})
const append = (ino: number, length: number): Operation => ({ kind: 'append', ino, length, killPrivileges: false })
const allocate = (ino: number, mode: number, offset: number, length: number): Operation => ({
  kind: 'allocate',
  ino,
  mode,
  offset,
  length,
})
const setxattr = (ino: number, name: string, size = 1, flags = 0): Operation => ({
  kind: 'setxattr',
  ino,
  name,
  value: new Uint8Array(size),
  flags,
})
const removexattr = (ino: number, name: string): Operation => ({ kind: 'removexattr', ino, name })
const clone = (source: number, sourceOffset: number, ino: number, offset: number, length: number): Operation => ({
  kind: 'clone',
  source,
  sourceOffset,
  ino,
  offset,
  length,
})
const nameless = (ino: number): Operation & { kind: 'make' } => make(nowhere, namelessKey(ino), ino, S_IFREG | 0o600)
const members = (version: number): Operation => ({ kind: 'members', version, descriptor: Uint8Array.of(version) })

type Step = Operation | readonly [Operation, keyof typeof errno]

interface Trace {
  readonly name: string
  /** Each succeeds, unless an errno stands beside it. */
  readonly steps: readonly Step[]
  readonly tree?: readonly string[]
  /** The content of files as runs: `a3` three bytes of the first step's payload, `b` the second's …, `.` zeros. */
  readonly content?: Readonly<Record<number, string>>
}

const x255 = 'x'.repeat(255)
const KEEP = 1
const PUNCH = 2
const ZERO = 16
const NOREPLACE = 1
const EXCHANGE = 2

const traces: readonly Trace[] = [
  {
    name: 'mkdir(2), mknod(2), symlink(2): what is made, and the links and names of its directory',
    steps: [
      dir(1, 'd', 2),
      dir(2, 'e', 3),
      file(2, 'f', 4),
      symlink(1, 's', 5, 'd/f'),
      node(1, 'n', 6, 259),
      file(1, x255, 7),
    ],
    tree: [
      '/ d ino 1 links 3 holds 4',
      '/d d ino 2 links 3 holds 2',
      '/d/e d ino 3 links 2 holds 0',
      '/d/f f ino 4 links 1 size 0 allocated 0',
      '/n n ino 6 links 1 node 259',
      '/s l ino 5 links 1 -> d/f',
      `/${x255} f ino 7 links 1 size 0 allocated 0`,
    ],
  },
  {
    name: 'mkdir(2), ERRORS: EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, EINVAL',
    steps: [
      file(1, 'f', 2),
      [file(1, 'f', 3), 'EEXIST'],
      [dir(1, 'f', 3), 'EEXIST'],
      [file(9, 'g', 3), 'ENOENT'],
      [file(2, 'g', 3), 'ENOTDIR'],
      [file(1, `${x255}x`, 3), 'ENAMETOOLONG'],
      [file(1, '', 3), 'EINVAL'],
      [file(1, '.', 3), 'EINVAL'],
      [file(1, '..', 3), 'EINVAL'],
      [file(1, 'a/b', 3), 'EINVAL'],
      [file(1, 'a\0b', 3), 'EINVAL'],
      // an inode number that exists was proposed twice (DESIGN §4)
      [file(1, 'g', 2), 'EEXIST'],
      [file(1, 'g', 1), 'EEXIST'],
      [file(1, 'g', 0), 'EEXIST'],
      [symlink(1, 's', 3, 'x'.repeat(linkTargetBytesMax + 1)), 'ENAMETOOLONG'],
      symlink(1, 's', 3, 'x'),
    ],
    tree: ['/ d ino 1 links 2 holds 2', '/f f ino 2 links 1 size 0 allocated 0', '/s l ino 3 links 1 -> x'],
  },
  {
    name: 'link(2): a second name; EPERM for a directory, EEXIST for a name that is there, ENOENT, ENOTDIR',
    steps: [
      file(1, 'f', 2),
      dir(1, 'd', 3),
      link(2, 3, 'g'),
      [link(3, 1, 'h'), 'EPERM'],
      [link(2, 1, 'f'), 'EEXIST'],
      [link(2, 1, 'd'), 'EEXIST'],
      [link(9, 1, 'h'), 'ENOENT'],
      [link(2, 9, 'h'), 'ENOENT'],
      [link(2, 2, 'h'), 'ENOTDIR'],
      [link(2, 1, '..'), 'EINVAL'],
      [link(2, 1, `${x255}x`), 'ENAMETOOLONG'],
    ],
    tree: [
      '/ d ino 1 links 3 holds 2',
      '/d d ino 3 links 2 holds 1',
      '/d/g f ino 2 links 2 size 0 allocated 0',
      '/f f ino 2 links 2 size 0 allocated 0',
    ],
  },
  {
    name: 'unlink(2): the last name takes content and attributes along; EISDIR (Linux) for a directory, ENOENT, ENOTDIR',
    steps: [
      file(1, 'f', 2),
      write(2, 0, 10),
      setxattr(2, 'user.a'),
      link(2, 1, 'g'),
      unlink(1, 'f'),
      [unlink(1, 'f'), 'ENOENT'],
      [unlink(9, 'f'), 'ENOENT'],
      [unlink(2, 'f'), 'ENOTDIR'],
      dir(1, 'd', 3),
      [unlink(1, 'd'), 'EISDIR'],
      [unlink(1, '.'), 'EINVAL'],
      unlink(1, 'g'),
      [setxattr(2, 'user.a'), 'ENOENT'],
      // the number may be given again: nothing of the old file is left
      file(1, 'h', 2),
    ],
    tree: ['/ d ino 1 links 3 holds 2', '/d d ino 3 links 2 holds 0', '/h f ino 2 links 1 size 0 allocated 0'],
  },
  {
    name: 'rmdir(2): EINVAL for ".", ENOTEMPTY for "..", ENOTEMPTY, ENOTDIR, ENOENT',
    steps: [
      dir(1, 'd', 2),
      file(2, 'f', 3),
      [rmdir(1, 'd'), 'ENOTEMPTY'],
      [rmdir(1, '.'), 'EINVAL'],
      [rmdir(1, '..'), 'ENOTEMPTY'],
      [rmdir(2, 'f'), 'ENOTDIR'],
      [rmdir(1, 'e'), 'ENOENT'],
      [rmdir(3, 'e'), 'ENOTDIR'],
      unlink(2, 'f'),
      setxattr(2, 'user.a'),
      rmdir(1, 'd'),
      [file(2, 'f', 4), 'ENOENT'],
    ],
    tree: ['/ d ino 1 links 2 holds 0'],
  },
  {
    name: 'rename(2): within a directory, to another, and a directory to another',
    steps: [
      dir(1, 'd', 2),
      dir(2, 'sub', 3),
      file(1, 'f', 4),
      move(1, 'f', 1, 'g'),
      move(1, 'g', 2, 'g'),
      move(2, 'sub', 1, 'sub'),
      // the moved directory can go back below its former sibling, so its parent is known
      move(1, 'd', 3, 'd'),
      [move(1, 'sub', 2, 'loop'), 'EINVAL'],
    ],
    tree: [
      '/ d ino 1 links 3 holds 1',
      '/sub d ino 3 links 3 holds 1',
      '/sub/d d ino 2 links 2 holds 1',
      '/sub/d/g f ino 4 links 1 size 0 allocated 0',
    ],
  },
  {
    name: 'rename(2): over an existing name, which goes; over another link of the same file, nothing is done',
    steps: [
      file(1, 'a', 2),
      file(1, 'b', 3),
      write(3, 0, 5),
      move(1, 'a', 1, 'b'),
      link(2, 1, 'c'),
      move(1, 'b', 1, 'c'),
      move(1, 'b', 1, 'b'),
      dir(1, 'd', 4),
      dir(4, 'e', 5),
      dir(1, 'x', 6),
      move(1, 'x', 4, 'e'),
      move(1, 'd', 1, 'd'),
    ],
    tree: [
      '/ d ino 1 links 3 holds 3',
      '/b f ino 2 links 2 size 0 allocated 0',
      '/c f ino 2 links 2 size 0 allocated 0',
      '/d d ino 4 links 3 holds 1',
      '/d/e d ino 6 links 2 holds 0',
    ],
  },
  {
    name: 'rename(2): over a name whose file has another one',
    steps: [dir(1, 'd', 2), file(1, 'a', 3), file(2, 'b', 4), link(4, 1, 'c'), move(1, 'a', 2, 'b')],
    tree: [
      '/ d ino 1 links 3 holds 2',
      '/c f ino 4 links 1 size 0 allocated 0',
      '/d d ino 2 links 2 holds 1',
      '/d/b f ino 3 links 1 size 0 allocated 0',
    ],
  },
  {
    name: 'rename(2), ERRORS: EINVAL into itself, EISDIR, ENOTDIR, ENOTEMPTY, ENOENT; EINVAL for flags',
    steps: [
      dir(1, 'd', 2),
      dir(2, 'e', 3),
      file(1, 'f', 4),
      dir(1, 'empty', 5),
      [move(1, 'd', 2, 'x'), 'EINVAL'],
      [move(1, 'd', 3, 'x'), 'EINVAL'],
      [move(1, 'f', 1, 'empty'), 'EISDIR'],
      [move(1, 'd', 1, 'f'), 'ENOTDIR'],
      [move(1, 'empty', 1, 'd'), 'ENOTEMPTY'],
      [move(2, 'e', 1, 'd'), 'ENOTEMPTY'],
      [move(1, 'none', 1, 'f'), 'ENOENT'],
      [move(9, 'f', 1, 'x'), 'ENOENT'],
      [move(1, 'f', 9, 'x'), 'ENOENT'],
      [move(4, 'f', 1, 'x'), 'ENOTDIR'],
      [move(1, 'f', 4, 'x'), 'ENOTDIR'],
      [move(1, 'f', 1, '..'), 'EINVAL'],
      [move(1, '.', 1, 'x'), 'EINVAL'],
      [move(1, 'f', 1, `${x255}x`), 'ENAMETOOLONG'],
      [move(1, 'f', 1, 'x', 4), 'EINVAL'],
      [move(1, 'f', 1, 'x', NOREPLACE | EXCHANGE), 'EINVAL'],
    ],
    tree: [
      '/ d ino 1 links 4 holds 3',
      '/d d ino 2 links 3 holds 1',
      '/d/e d ino 3 links 2 holds 0',
      '/empty d ino 5 links 2 holds 0',
      '/f f ino 4 links 1 size 0 allocated 0',
    ],
  },
  {
    name: 'renameat2(2), RENAME_NOREPLACE: EEXIST for a name that is there',
    steps: [
      file(1, 'a', 2),
      file(1, 'b', 3),
      [move(1, 'a', 1, 'b', NOREPLACE), 'EEXIST'],
      [move(1, 'a', 1, 'a', NOREPLACE), 'EEXIST'],
      move(1, 'a', 1, 'c', NOREPLACE),
    ],
    tree: [
      '/ d ino 1 links 2 holds 2',
      '/b f ino 3 links 1 size 0 allocated 0',
      '/c f ino 2 links 1 size 0 allocated 0',
    ],
  },
  {
    name: 'renameat2(2), RENAME_EXCHANGE: a directory and a file across directories, a full directory too',
    steps: [
      dir(1, 'd', 2),
      dir(1, 'e', 3),
      dir(2, 'full', 4),
      file(4, 'x', 5),
      file(3, 'f', 6),
      [move(2, 'full', 3, 'none', EXCHANGE), 'ENOENT'],
      [move(2, 'none', 3, 'f', EXCHANGE), 'ENOENT'],
      // renameat2(2) EINVAL: one is an ancestor of the other, either way round
      [move(1, 'd', 4, 'x', EXCHANGE), 'EINVAL'],
      [move(4, 'x', 1, 'd', EXCHANGE), 'EINVAL'],
      move(2, 'full', 3, 'f', EXCHANGE),
      // the directory knows its new place
      [move(1, 'e', 4, 'loop'), 'EINVAL'],
      move(1, 'd', 4, 'd'),
    ],
    tree: [
      '/ d ino 1 links 3 holds 1',
      '/e d ino 3 links 3 holds 1',
      '/e/f d ino 4 links 3 holds 2',
      '/e/f/d d ino 2 links 2 holds 1',
      '/e/f/d/full f ino 6 links 1 size 0 allocated 0',
      '/e/f/x f ino 5 links 1 size 0 allocated 0',
    ],
  },
  {
    name: 'renameat2(2), RENAME_WHITEOUT: a device 0:0 stands in the place of the source',
    steps: [
      file(1, 'a', 2),
      file(1, 'b', 3),
      { ...move(1, 'a', 1, 'b', 4), whiteout: 4 } as Operation,
      [move(1, 'b', 1, 'c', 4), 'EINVAL'],
      [{ ...move(1, 'b', 1, 'c', 4), whiteout: 2 } as Operation, 'EEXIST'],
      [{ ...move(1, 'b', 1, 'a', 5), whiteout: 5 } as Operation, 'EEXIST'],
      [{ ...move(1, 'b', 1, 'a', 6), whiteout: 5 } as Operation, 'EINVAL'],
    ],
    tree: ['/ d ino 1 links 2 holds 2', '/a n ino 4 links 1 node 0', '/b f ino 2 links 1 size 0 allocated 0'],
  },
  {
    name: 'RENAME_EXCHANGE within a directory, of two directories, and of a name with itself',
    steps: [
      dir(1, 'd', 2),
      file(1, 'f', 3),
      dir(1, 'e', 4),
      file(4, 'y', 5),
      move(1, 'd', 1, 'f', EXCHANGE),
      move(1, 'f', 1, 'e', EXCHANGE),
      move(1, 'd', 1, 'd', EXCHANGE),
    ],
    tree: [
      '/ d ino 1 links 4 holds 3',
      '/d f ino 3 links 1 size 0 allocated 0',
      '/e d ino 2 links 2 holds 0',
      '/f d ino 4 links 2 holds 1',
      '/f/y f ino 5 links 1 size 0 allocated 0',
    ],
  },
  {
    name: 'truncate(2): shrinks inside a chunk and across chunks; what it grows by is zeros',
    steps: [
      file(1, 'f', 2),
      write(2, 0, 100),
      set(2, { size: 40 }),
      set(2, { size: 100 }),
      file(1, 'g', 3),
      write(3, chunkBytes - 10, 20),
      set(3, { size: chunkBytes + 5 }),
      set(3, { size: chunkBytes }),
      set(3, { size: chunkBytes - 5 }),
      set(3, { size: 2 * chunkBytes + 1 }),
    ],
    tree: [
      '/ d ino 1 links 2 holds 2',
      '/f f ino 2 links 1 size 100 allocated 40',
      `/g f ino 3 links 1 size ${2 * chunkBytes + 1} allocated 5`,
    ],
    content: { 2: 'b40 .60', 3: `.${chunkBytes - 10} f5 .${chunkBytes + 6}` },
  },
  {
    name: 'truncate(2), ERRORS: EISDIR, EINVAL (not a regular file), EFBIG, ENOENT',
    steps: [
      dir(1, 'd', 2),
      symlink(1, 's', 3, 'd'),
      file(1, 'f', 4),
      [set(2, { size: 0 }), 'EISDIR'],
      [set(3, { size: 0 }), 'EINVAL'],
      [set(4, { size: fileSizeMax + 1 }), 'EFBIG'],
      [set(9, { size: 0 }), 'ENOENT'],
      set(4, { size: fileSizeMax }),
    ],
    tree: [
      '/ d ino 1 links 3 holds 3',
      '/d d ino 2 links 2 holds 0',
      `/f f ino 4 links 1 size ${fileSizeMax} allocated 0`,
      '/s l ino 3 links 1 -> d',
    ],
  },
  {
    name: 'write(2): over, beside and across chunks, and beyond the end; a hole is zeros',
    steps: [
      file(1, 'f', 2),
      write(2, 10, 10),
      write(2, 15, 10),
      write(2, 12, 2),
      write(2, 30, 5),
      write(2, chunkBytes - 1, 3),
      write(2, chunkBytes, 1),
    ],
    tree: ['/ d ino 1 links 2 holds 1', `/f f ino 2 links 1 size ${chunkBytes + 2} allocated 23`],
    content: { 2: `.10 b2 d2 b1 c10 .5 e5 .${chunkBytes - 36} f1 g1 f1` },
  },
  {
    name: 'O_APPEND (open(2)): at the end, wherever that is now; an append may span chunks that its blobs do not know',
    steps: [
      file(1, 'f', 2),
      append(2, 3),
      append(2, 2),
      set(2, { size: chunkBytes - 1 }),
      append(2, chunkBytes + 2),
      append(2, 1),
    ],
    tree: ['/ d ino 1 links 2 holds 1', `/f f ino 2 links 1 size ${2 * chunkBytes + 2} allocated ${chunkBytes + 8}`],
    content: { 2: `b3 c2 .${chunkBytes - 6} e${chunkBytes + 2} f1` },
  },
  {
    name: 'write(2), ERRORS: EISDIR (as ftruncate(2) has it), EINVAL, ENOENT, EFBIG',
    steps: [
      dir(1, 'd', 2),
      symlink(1, 's', 3, 'd'),
      file(1, 'f', 4),
      [write(2, 0, 1), 'EISDIR'],
      [append(2, 1), 'EISDIR'],
      [write(3, 0, 1), 'EINVAL'],
      [write(9, 0, 1), 'ENOENT'],
      [append(9, 1), 'ENOENT'],
      [write(4, fileSizeMax, 1), 'EFBIG'],
      write(4, fileSizeMax - 1, 1),
      [append(4, 1), 'EFBIG'],
    ],
    tree: [
      '/ d ino 1 links 3 holds 3',
      '/d d ino 2 links 2 holds 0',
      `/f f ino 4 links 1 size ${fileSizeMax} allocated 1`,
      '/s l ino 3 links 1 -> d',
    ],
  },
  {
    name: 'fallocate(2): grows the file, or keeps its size; punches and zeroes; content is kept around',
    steps: [
      file(1, 'f', 2),
      write(2, 0, 30),
      allocate(2, 0, 20, 30),
      allocate(2, KEEP, 0, 999),
      allocate(2, PUNCH | KEEP, 5, 10),
      allocate(2, ZERO | KEEP, 25, 100),
      file(1, 'g', 3),
      write(3, 0, 10),
      allocate(3, ZERO, 5, 15),
      file(1, 'h', 4),
      write(4, chunkBytes - 5, 10),
      allocate(4, PUNCH | KEEP, chunkBytes - 1, 2),
    ],
    tree: [
      '/ d ino 1 links 2 holds 3',
      '/f f ino 2 links 1 size 50 allocated 989',
      '/g f ino 3 links 1 size 20 allocated 20',
      `/h f ino 4 links 1 size ${chunkBytes + 5} allocated 8`,
    ],
    content: { 2: 'b5 .10 b10 .25', 3: 'h5 .15', 4: `.${chunkBytes - 5} k4 .2 k4` },
  },
  {
    name: 'fallocate(2): what is reserved counts once, whether it is written or not; a truncation gives it back',
    steps: [
      file(1, 'f', 2),
      allocate(2, 0, 0, 100),
      write(2, 10, 10),
      allocate(2, KEEP, 90, 20),
      file(1, 'g', 3),
      allocate(3, KEEP, 0, 1000),
      set(3, { size: 0 }),
      file(1, 'h', 4),
      allocate(4, 0, 0, 2 ** 50),
      allocate(4, PUNCH | KEEP, 100, 2 ** 50 - 200),
    ],
    tree: [
      '/ d ino 1 links 2 holds 3',
      '/f f ino 2 links 1 size 100 allocated 110',
      '/g f ino 3 links 1 size 0 allocated 0',
      `/h f ino 4 links 1 size ${2 ** 50} allocated 200`,
    ],
    content: { 2: '.10 c10 .80' },
  },
  {
    name: 'copy_file_range(2): content is shared, holes too; what is written to one of the two stays there',
    steps: [
      file(1, 'f', 2),
      write(2, 0, 30),
      set(2, { size: 60 }),
      file(1, 'g', 3),
      write(3, 0, 50),
      clone(2, 10, 3, 5, 40),
      write(2, 0, 30),
      // within one file, and across chunks
      write(2, chunkBytes - 3, 6),
      clone(2, chunkBytes - 3, 2, 2 * chunkBytes - 2, 6),
      unlink(1, 'f'),
      file(1, 'h', 4),
      clone(3, 0, 4, 20, 10),
    ],
    tree: [
      '/ d ino 1 links 2 holds 2',
      '/g f ino 3 links 1 size 50 allocated 30',
      '/h f ino 4 links 1 size 30 allocated 10',
    ],
    content: { 3: 'e5 b20 .20 e5', 4: '.20 e5 b5' },
  },
  {
    name: 'copy_file_range(2), ERRORS: EINVAL for ranges that overlap, EISDIR, EFBIG, ENOENT; EAGAIN for a source that shrank',
    steps: [
      file(1, 'f', 2),
      write(2, 0, 30),
      file(1, 'g', 3),
      [clone(2, 0, 2, 5, 10), 'EINVAL'],
      [clone(2, 0, 3, 0, 0), 'EINVAL'],
      [clone(2, 21, 3, 0, 10), 'EAGAIN'],
      [clone(2, 0, 3, fileSizeMax - 5, 10), 'EFBIG'],
      [clone(1, 0, 3, 0, 10), 'EISDIR'],
      [clone(2, 0, 1, 0, 10), 'EISDIR'],
      [clone(9, 0, 3, 0, 10), 'ENOENT'],
      [clone(2, 0, 9, 0, 10), 'ENOENT'],
      clone(2, 0, 2, 10, 10),
    ],
    content: { 2: 'b30' },
  },
  {
    name: 'open(2), O_TMPFILE: a file without a name, which linkat(2) gives one, or which goes',
    steps: [
      nameless(2),
      write(2, 0, 5),
      nameless(3),
      write(3, 0, 5),
      [nameless(3), 'EEXIST'],
      [{ ...nameless(4), name: 'x' }, 'EINVAL'],
      [{ ...nameless(4), mode: S_IFDIR }, 'EINVAL'],
      file(1, 'f', 4),
      [link(2, 1, 'f'), 'EEXIST'],
      link(2, 1, 'g'),
      link(2, 1, 'h'),
      [unlink(nowhere, namelessKey(2)), 'ENOENT'],
      [move(nowhere, namelessKey(3), 1, 'i'), 'ENOENT'],
      unlink(nowhere, namelessKey(3)),
    ],
    tree: [
      '/ d ino 1 links 2 holds 3',
      '/f f ino 4 links 1 size 0 allocated 0',
      '/g f ino 2 links 2 size 5 allocated 5',
      '/h f ino 2 links 2 size 5 allocated 5',
    ],
    content: { 2: 'b5' },
  },
  {
    name: 'fallocate(2), ERRORS: EINVAL for no length, EFBIG, EOPNOTSUPP, EISDIR, ENOENT',
    steps: [
      file(1, 'f', 2),
      dir(1, 'd', 3),
      symlink(1, 's', 4, 'x'),
      [allocate(2, 0, 0, 0), 'EINVAL'],
      [allocate(2, 0, fileSizeMax, 1), 'EFBIG'],
      // "FALLOC_FL_PUNCH_HOLE must be ORed with FALLOC_FL_KEEP_SIZE"
      [allocate(2, PUNCH, 0, 1), 'EOPNOTSUPP'],
      [allocate(2, 8, 0, 1), 'EOPNOTSUPP'],
      [allocate(2, PUNCH | ZERO | KEEP, 0, 1), 'EOPNOTSUPP'],
      [allocate(3, 0, 0, 1), 'EISDIR'],
      [allocate(4, 0, 0, 1), 'EINVAL'],
      [allocate(9, 0, 0, 1), 'ENOENT'],
    ],
  },
  {
    name: 'setxattr(2), removexattr(2): XATTR_CREATE, XATTR_REPLACE, ENODATA, ERANGE, ENOSPC, ENOENT; directories too',
    steps: [
      file(1, 'f', 2),
      setxattr(2, 'user.a'),
      setxattr(2, 'user.a', 5),
      setxattr(2, 'user.b', 1, 1),
      setxattr(2, 'user.b', 1, 2),
      [setxattr(2, 'user.b', 1, 1), 'EEXIST'],
      [setxattr(2, 'user.c', 1, 2), 'ENODATA'],
      [setxattr(2, ''), 'ERANGE'],
      [setxattr(2, `${x255}x`), 'ERANGE'],
      [setxattr(2, 'user.c', 65537), 'ENOSPC'],
      setxattr(2, 'user.c', 65536),
      [setxattr(9, 'user.a'), 'ENOENT'],
      setxattr(1, 'user.root'),
      removexattr(2, 'user.b'),
      [removexattr(2, 'user.b'), 'ENODATA'],
      [removexattr(9, 'user.b'), 'ENOENT'],
    ],
    tree: ['/ d ino 1 links 2 holds 1 +user.root', '/f f ino 2 links 1 size 0 allocated 0 +user.a +user.c'],
  },
  {
    name: 'members: only the direct successor of the last version is taken',
    steps: [[members(2), 'EEXIST'], members(1), [members(1), 'EEXIST'], [members(3), 'EEXIST'], members(2)],
  },
  { name: 'mark changes nothing', steps: [{ kind: 'mark', id: 5 }], tree: ['/ d ino 1 links 2 holds 0'] },
]

/** Runs as `Trace.content` has them. A step's payload is its letter. */
function runs(bytes: Uint8Array): string {
  const found: string[] = []
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at]!
    let end = at + 1
    while (end < bytes.length && bytes[end] === byte) end++
    found.push(`${byte === 0 ? '.' : String.fromCharCode(byte)}${end - at}`)
    at = end
  }
  return found.join(' ')
}

for (const { name, steps, tree, content } of traces) {
  void t.test(name, t => {
    const machine = new Machine()
    steps.forEach((step, i) => {
      const [operation, expected] = Array.isArray(step)
        ? (step as readonly [Operation, keyof typeof errno])
        : ([step as Operation, undefined] as const)
      const before = expected === undefined ? undefined : treeOf(machine.view)
      const length = operation.kind === 'write' || operation.kind === 'append' ? operation.length : 0
      const answer = machine.apply(operation, new Uint8Array(length).fill(97 + i))
      t.equal(answer === 0 ? 'ok' : errnoName(answer), expected ?? 'ok', `step ${i}: ${operation.kind}`)
      if (before !== undefined) t.same(treeOf(machine.view), before, 'what is refused changes nothing')
    })
    if (tree !== undefined) t.same(treeOf(machine.view), tree)
    for (const [ino, expected] of Object.entries(content ?? {})) {
      t.equal(runs(machine.book.content(machine.view, Number(ino))), expected, `content of ${ino}`)
    }
    t.end()
  })
}

void t.test('times and owners: what each change touches (inode(7))', t => {
  const machine = new Machine()
  const times = (ino: number): string => {
    const { atime, mtime, ctime } = getInode(machine.view, ino)!
    return `${atime} ${mtime} ${ctime}`
  }
  machine.apply(dir(1, 'd', 2)) // 1
  machine.apply(file(2, 'f', 3)) // 2
  t.equal(times(2), '1 2 2', 'a directory is modified by a name')
  t.equal(times(3), '2 2 2')
  machine.apply(write(3, 0, 1), Uint8Array.of(1)) // 3
  t.equal(times(3), '2 3 3')
  machine.apply(set(3, { mode: 0o600 })) // 4
  t.equal(times(3), '2 3 4', 'chmod(2) changes the ctime alone')
  machine.apply(set(3, { atime: 50n, mtime: 60n })) // 5
  t.equal(times(3), '50 60 5')
  machine.apply(set(3, { size: 1 })) // 6
  t.equal(times(3), '50 6 6', 'ftruncate(2) to the same size counts as a modification')
  machine.apply(set(3, { size: 0, mtime: 99n })) // 7
  t.equal(times(3), '50 99 7', 'a time that is given wins')
  machine.apply(link(3, 2, 'g')) // 8
  t.equal(times(3), '50 99 8')
  machine.apply(unlink(2, 'g')) // 9
  t.equal(times(3), '50 99 9')
  machine.apply(move(2, 'f', 1, 'f')) // 10
  t.equal(times(3), '50 99 10')
  t.equal(times(2), '1 10 10')
  machine.apply(setxattr(3, 'user.a')) // 11
  t.equal(times(3), '50 99 11')
  machine.apply(set(3, { uid: 70, gid: 80 }))
  const { uid, gid, mode } = getInode(machine.view, 3)!
  t.same([uid, gid, mode], [70, 80, S_IFREG | 0o600])
  t.end()
})

void t.test('set-uid and set-gid go with a write, a truncate or a chown that says so (write(2), chown(2))', t => {
  const cases: [number, Operation, number][] = [
    [0o6755, write(2, 0, 1, true), 0o755],
    [0o6755, write(2, 0, 1, false), 0o6755],
    // without group execute the set-gid bit once meant mandatory locking: it stays
    [0o6745, write(2, 0, 1, true), 0o2745],
    [0o6755, { kind: 'append', ino: 2, length: 1, killPrivileges: true }, 0o755],
    [0o6755, set(2, { size: 0, killPrivileges: true }), 0o755],
    [0o6755, set(2, { uid: 1, killPrivileges: true }), 0o755],
    [0o6755, set(2, { uid: 1 }), 0o6755],
    [0o644, set(2, { mode: 0o107777 }), 0o7777],
  ]
  for (const [before, operation, after] of cases) {
    const machine = new Machine()
    machine.apply(file(1, 'f', 2, before))
    t.equal(machine.apply(operation, Uint8Array.of(1)), 0)
    t.equal(getInode(machine.view, 2)!.mode, S_IFREG | after, JSON.stringify(operation))
  }
  t.end()
})

void t.test('access times grow, and touch nothing else (mount(8), relatime)', t => {
  const machine = new Machine()
  machine.apply(file(1, 'f', 2))
  const before = getInode(machine.view, 2)!
  const times = (atime: bigint): Operation => ({ kind: 'access', times: [{ ino: 9, atime }, { ino: 2, atime }] }) // prettier-ignore
  t.equal(machine.apply(times(50n)), 0, 'a file that is gone is passed over')
  t.same(getInode(machine.view, 2), { ...before, atime: 50n })
  t.equal(machine.apply(times(40n)), 0)
  t.equal(getInode(machine.view, 2)!.atime, 50n)
  t.end()
})

void t.test('file capabilities go with a write, a truncation or a chown (capabilities(7))', t => {
  const changes = [write(2, 0, 1), append(2, 1), set(2, { size: 0 }), set(2, { uid: 3 }), allocate(2, 0, 0, 1)]
  for (const change of changes) {
    const machine = new Machine()
    machine.apply(file(1, 'f', 2, 0o755))
    machine.apply(setxattr(2, 'security.capability'))
    machine.apply(setxattr(2, 'security.selinux'))
    machine.apply(set(2, { mode: 0o711 }))
    t.same(xattrNames(machine.view, 2), ['security.capability', 'security.selinux'])
    t.equal(machine.apply(change, Uint8Array.of(1)), 0)
    t.same(xattrNames(machine.view, 2), ['security.selinux'], change.kind)
  }
  t.end()
})

void t.test('link(2) EMLINK: links of a file, sub-directories of a directory', t => {
  const machine = new Machine()
  machine.apply(file(1, 'f', 2))
  machine.apply(dir(1, 'd', 3))
  machine.apply(dir(1, 'e', 4))
  machine.apply(dir(3, 'x', 5))
  for (const ino of [2, 3]) machine.view.set('inode', ino, '', { ...getInode(machine.view, ino)!, nlink: linkCountMax })
  t.equal(machine.apply(link(2, 1, 'g')), errno.EMLINK)
  t.equal(machine.apply(dir(3, 'y', 6)), errno.EMLINK)
  t.equal(machine.apply(move(1, 'e', 3, 'e')), errno.EMLINK)
  t.equal(machine.apply(move(3, 'x', 3, 'z')), 0, 'within the directory its links stay as many')
  t.equal(machine.apply(move(1, 'e', 3, 'z')), 0, 'in the place of another directory, too')
  t.end()
})

void t.test('setxattr(2) ENOSPC: the names of one inode are listed in 64 KiB (xattr(7))', t => {
  const machine = new Machine()
  machine.apply(file(1, 'f', 2))
  let count = 0
  while (machine.apply(setxattr(2, `user.${'x'.repeat(240)}${String(count).padStart(5, '0')}`)) === 0) count++
  t.equal(count, Math.floor(65536 / 251))
  t.equal(machine.apply(setxattr(2, `user.${'x'.repeat(240)}00000`, 9)), 0, 'one that is there is replaced')
  machine.apply(unlink(1, 'f'))
  t.same(machine.view.scan('xattr', 2, undefined, 10), [], 'all of them go with the file')
  t.end()
})

void t.test('the members record carries its version and the descriptor', t => {
  const machine = new Machine()
  t.equal(membersDescriptor(machine.view), undefined)
  machine.apply(members(1))
  machine.apply(members(2))
  t.equal(membersVersion(machine.view.get('setting', 0, 'members')), 2)
  t.same([...membersDescriptor(machine.view)!], [2])
  t.end()
})

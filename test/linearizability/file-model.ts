import { isDeepStrictEqual } from 'node:util'
import type { Model } from './checker.js'
import type { Operation } from './history.js'

/**
 * A call on a small file system. Paths are relative to its root, which is always there and has the path ''. Content is
 * ASCII.
 *
 * `create` makes an empty file and fails if the name is taken; `put` makes a new file with its content take the name, as
 * rename(2) of one written aside; `write` is pwrite(2), `append` is a write with O_APPEND, both to a file that exists.
 */
export type FileInput =
  | { readonly op: 'mkdir' | 'rmdir' | 'create' | 'unlink' | 'read' | 'stat' | 'list'; readonly path: string }
  | { readonly op: 'put' | 'append'; readonly path: string; readonly data: string }
  | { readonly op: 'write'; readonly path: string; readonly offset: number; readonly data: string }
  | { readonly op: 'truncate'; readonly path: string; readonly size: number }
  | { readonly op: 'rename' | 'link'; readonly path: string; readonly to: string }

export type FileOutput =
  | 'ok'
  | { readonly error: string }
  | { readonly data: string }
  | { readonly type: 'file'; readonly size: number }
  | { readonly type: 'directory' }
  | { readonly names: readonly string[] }

export type FileOperation = Operation<FileInput, FileOutput>

/** The content of a file; of a directory, undefined. */
type Inode = string | undefined

const failed = (error: string): FileOutput => ({ error })
const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 0))
const root = 0

/** Names and what they name. Never changed in place. */
export class FileTree {
  readonly names: ReadonlyMap<string, number>
  readonly inodes: ReadonlyMap<number, Inode>
  #key: string | undefined

  constructor(names: ReadonlyMap<string, number>, inodes: ReadonlyMap<number, Inode>) {
    this.names = names
    this.inodes = inodes
  }

  static readonly empty = new FileTree(new Map([['', root]]), new Map([[root, undefined]]))

  isDirectory(path: string): boolean {
    const ino = this.names.get(path)
    return ino !== undefined && this.inodes.get(ino) === undefined
  }

  children(path: string): string[] {
    const found = [...this.names.keys()].filter(name => name !== '' && parentOf(name) === path)
    return found.map(name => name.slice(path === '' ? 0 : path.length + 1)).sort()
  }

  /** With some names changed (undefined: gone) and files whose content did. */
  with(names: readonly [string, number | undefined][], files: readonly [number, Inode][] = []): FileTree {
    const newNames = new Map(this.names)
    for (const [path, ino] of names) {
      if (ino === undefined) newNames.delete(path)
      else newNames.set(path, ino)
    }
    const named = new Set(newNames.values())
    const inodes = new Map([...this.inodes, ...files].filter(([ino]) => named.has(ino)))
    return new FileTree(newNames, inodes)
  }

  nextIno(): number {
    return Math.max(...this.inodes.keys()) + 1
  }

  /** Independent of inode numbers: they are counted in the order of the names. */
  get key(): string {
    if (this.#key !== undefined) return this.#key
    const numbers = new Map<number, number>()
    const rows: unknown[] = []
    for (const [path, ino] of [...this.names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const known = numbers.get(ino)
      if (known === undefined) numbers.set(ino, numbers.size)
      rows.push(known === undefined ? [path, this.inodes.get(ino) ?? null] : [path, known])
    }
    return (this.#key = JSON.stringify(rows))
  }
}

interface Applied {
  readonly state: FileTree
  readonly output: FileOutput
}

function apply(tree: FileTree, input: FileInput): Applied {
  const refuse = (error: string): Applied => ({ state: tree, output: failed(error) })
  const answer = (output: FileOutput): Applied => ({ state: tree, output })
  const become = (state: FileTree): Applied => ({ state, output: 'ok' })
  const { path } = input
  /** Why no name can be in that place. */
  const misplaced = (path: string): string | undefined => {
    const parent = parentOf(path)
    if (tree.isDirectory(parent)) return undefined
    return tree.names.has(parent) || (parent !== '' && misplaced(parent) === 'ENOTDIR') ? 'ENOTDIR' : 'ENOENT'
  }
  const nowhere = misplaced(path)
  if (nowhere !== undefined) return refuse(nowhere)
  const ino = tree.names.get(path)
  const content = ino === undefined ? undefined : tree.inodes.get(ino)
  const isDirectory = ino !== undefined && content === undefined

  switch (input.op) {
    case 'mkdir':
    case 'create': {
      if (ino !== undefined) return refuse('EEXIST')
      const made = tree.nextIno()
      return become(tree.with([[path, made]], [[made, input.op === 'mkdir' ? undefined : '']]))
    }
    case 'put': {
      if (isDirectory) return refuse('EISDIR')
      const made = tree.nextIno()
      return become(tree.with([[path, made]], [[made, input.data]]))
    }
    default:
  }
  if (ino === undefined) return refuse('ENOENT')
  switch (input.op) {
    case 'rmdir':
      if (!isDirectory) return refuse('ENOTDIR')
      return tree.children(path).length > 0 ? refuse('ENOTEMPTY') : become(tree.with([[path, undefined]]))
    case 'list':
      return isDirectory ? answer({ names: tree.children(path) }) : refuse('ENOTDIR')
    case 'stat':
      if (content === undefined) return answer({ type: 'directory' })
      return answer({ type: 'file', size: content.length })
    case 'rename':
      return rename(tree, path, ino, input.to, misplaced(input.to))
    case 'unlink':
      return isDirectory ? refuse('EISDIR') : become(tree.with([[path, undefined]]))
    case 'link': {
      if (isDirectory) return refuse('EPERM')
      const nowhere = misplaced(input.to)
      if (nowhere !== undefined) return refuse(nowhere)
      return tree.names.has(input.to) ? refuse('EEXIST') : become(tree.with([[input.to, ino]]))
    }
    default:
  }
  if (content === undefined) return refuse('EISDIR')
  switch (input.op) {
    case 'read':
      return answer({ data: content })
    case 'write': {
      const { offset, data } = input
      const before = content.slice(0, offset).padEnd(offset, '\0')
      return become(tree.with([], [[ino, before + data + content.slice(offset + data.length)]]))
    }
    case 'append':
      return become(tree.with([], [[ino, content + input.data]]))
    case 'truncate':
      return become(tree.with([], [[ino, content.slice(0, input.size).padEnd(input.size, '\0')]]))
    default:
      throw new Error(`unknown operation ${JSON.stringify(input)}`)
  }
}

/** rename(2) without flags. */
function rename(tree: FileTree, from: string, ino: number, to: string, nowhere: string | undefined): Applied {
  const refuse = (error: string): Applied => ({ state: tree, output: failed(error) })
  if (nowhere !== undefined) return refuse(nowhere)
  const target = tree.names.get(to)
  if (target === ino) return { state: tree, output: 'ok' }
  const movesDirectory = tree.isDirectory(from)
  if (movesDirectory && to.startsWith(`${from}/`)) return refuse('EINVAL')
  if (target !== undefined) {
    if (movesDirectory && !tree.isDirectory(to)) return refuse('ENOTDIR')
    if (!movesDirectory && tree.isDirectory(to)) return refuse('EISDIR')
    if (tree.children(to).length > 0) return refuse('ENOTEMPTY')
  }
  const moved: [string, number | undefined][] = [[from, undefined]]
  for (const [path, ino] of tree.names) {
    if (path.startsWith(`${from}/`)) moved.push([path, undefined], [to + path.slice(from.length), ino])
  }
  return { state: tree.with([...moved, [to, ino]]), output: 'ok' }
}

/** Paths of operations that touch one another come together: a path and its directory, both ends of a rename. */
function partition(history: readonly FileOperation[]): readonly (readonly FileOperation[])[] {
  const groups = new Map<string, string>()
  const find = (path: string): string => {
    let at = path
    for (let up = groups.get(at); up !== undefined; up = groups.get(at)) at = up
    return at
  }
  const join = (a: string, b: string): void => {
    const [x, y] = [find(a), find(b)]
    if (x !== y) groups.set(x, y)
  }
  const paths = new Set<string>()
  for (const { input } of history) {
    const named = 'to' in input ? [input.path, input.to] : [input.path]
    for (const path of named) {
      join(path, input.path)
      for (let at = path; at !== ''; at = parentOf(at)) {
        paths.add(at)
        // the root is always there
        if (parentOf(at) !== '') join(at, parentOf(at))
      }
    }
  }
  if (history.some(({ input }) => input.op === 'list' && input.path === '')) for (const path of paths) join(path, '')
  const parts = new Map<string, FileOperation[]>()
  for (const operation of history) {
    const group = find(operation.input.path)
    const part = parts.get(group)
    if (part === undefined) parts.set(group, [operation])
    else part.push(operation)
  }
  return [...parts.values()]
}

/** The calls of `FileInput`, one after the other, on an empty file system. */
export const fileModel: Model<FileTree, FileInput, FileOutput> = {
  initial: FileTree.empty,
  apply,
  key: tree => tree.key,
  matches: (expected, observed) => expected === observed || isDeepStrictEqual(expected, observed),
  // a refusal, or what was asked for
  changesNothing: (_, output) => output !== 'ok',
  partition,
}

import { isContentOperation, type Operation } from '../fs/operation.js'
import type { Range } from '../fs/reserved.js'
import type { View } from '../fs/view.js'
import type { Invalidation } from './mount-port.js'

/**
 * What a kernel may have cached that an operation makes stale. Asked before the operation is applied to `view`, because
 * names still lead to the inodes they will lose.
 */
export function invalidationsOf(operation: Operation, view: View): Invalidation[] {
  const attributes = (ino: number): Invalidation => ({ kind: 'inode', ino, offset: -1, length: 0 })
  const content = (ino: number, offset: number, length: number, changed?: readonly Range[]): Invalidation => {
    const before = view.get('inode', ino, '')
    return {
      kind: 'inode',
      ino,
      offset,
      length,
      ...(changed === undefined ? {} : { changed }),
      ...(before === undefined ? {} : { before }),
    }
  }
  const sizeOf = (ino: number): number => view.get('inode', ino, '')?.size ?? 0
  switch (operation.kind) {
    case 'make':
      return [{ kind: 'entry', parent: operation.parent, name: operation.name }, content(operation.parent, 0, 0)]
    case 'link':
      return [
        { kind: 'entry', parent: operation.parent, name: operation.name },
        content(operation.parent, 0, 0),
        attributes(operation.ino),
      ]
    case 'unlink':
    case 'rmdir': {
      const entry = view.get('entry', operation.parent, operation.name)
      if (entry === undefined) return []
      return [
        { kind: 'delete', parent: operation.parent, child: entry.ino, name: operation.name },
        content(operation.parent, 0, 0),
        attributes(entry.ino),
      ]
    }
    case 'rename': {
      const { parent, name, newParent, newName } = operation
      const items: Invalidation[] = [
        { kind: 'entry', parent, name },
        { kind: 'entry', parent: newParent, name: newName },
        content(parent, 0, 0),
      ]
      if (newParent !== parent) items.push(content(newParent, 0, 0))
      const moved = view.get('entry', parent, name)
      const replaced = view.get('entry', newParent, newName)
      if (moved !== undefined) items.push(attributes(moved.ino))
      if (replaced !== undefined) items.push(attributes(replaced.ino))
      return items
    }
    case 'setattr':
      return [
        operation.size === undefined
          ? attributes(operation.ino)
          : content(operation.ino, Math.min(operation.size, sizeOf(operation.ino)), 0),
      ]
    case 'write':
      return operation.length === 0 ? [] : [content(operation.ino, operation.offset, operation.length)]
    case 'append':
      return [content(operation.ino, sizeOf(operation.ino), operation.length)]
    case 'write-back': {
      const { ino, offset, length, stored } = operation
      const changed = stored.map(run => ({ from: offset + run.at, to: offset + run.at + run.length }))
      return length === 0 ? [] : [content(ino, offset, length, changed)]
    }
    case 'allocate':
      return [content(operation.ino, operation.offset, operation.length)]
    case 'clone':
      return operation.length === 0 ? [] : [content(operation.ino, operation.offset, operation.length)]
    case 'access':
      return operation.times.map(({ ino }) => attributes(ino))
    case 'setxattr':
    case 'removexattr':
      return [attributes(operation.ino)]
    case 'relocate':
    case 'members':
    case 'mark':
    case 'open-session':
    case 'end-session':
    case 'refuse':
      return []
  }
}

/**
 * Of what an operation made stale, what kernels have to be told once more although they were shown it. Of content: all. Of
 * names: not the one that it made, if that leads where it did: dropped, it would be missing (getcwd(3): ENOENT) for whoever
 * works there. A rename's names are told: a kernel moves what it took for them (d_move). For inodes see `ShownInodes`.
 */
export function toldAgain(operation: Operation, stale: readonly Invalidation[], view: View): readonly Invalidation[] {
  if (isOfPages(operation)) return stale
  if (operation.kind === 'make' || operation.kind === 'link') {
    if (view.get('entry', operation.parent, operation.name)?.ino === operation.ino) return []
  }
  return stale.filter(({ kind }) => kind !== 'inode')
}

/** Whether what an operation makes stale are pages of a file, which its inode does not tell. */
export function isOfPages(operation: Operation): boolean {
  return operation.kind === 'clone' || isContentOperation(operation)
}

/** The inodes that an operation concerns; `stale`: what it made stale. */
export function inodesOf(operation: Operation, stale: readonly Invalidation[]): readonly number[] {
  const inodes = stale.map(inodeOf).filter(ino => ino !== undefined)
  return operation.kind === 'make' ? [...inodes, operation.ino] : inodes
}

/** Whether what one operation makes stale concerns the same inodes at two times. */
export function concernsSame(before: readonly Invalidation[], after: readonly Invalidation[]): boolean {
  return before.length === after.length && before.every((item, i) => inodeOf(item) === inodeOf(after[i]!))
}

function inodeOf(item: Invalidation): number | undefined {
  return item.kind === 'inode' ? item.ino : item.kind === 'delete' ? item.child : undefined
}

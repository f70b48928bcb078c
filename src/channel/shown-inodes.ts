import type { Operation } from '../fs/operation.js'
import type { Inode } from '../fs/records.js'
import type { View } from '../fs/view.js'
import { isOfPages } from './invalidations.js'
import type { Invalidation } from './mount-port.js'

/**
 * Inodes of own changes as kernels were shown them, while the state under them moves: kernels are told of those that are
 * shown as something else afterwards, and of no other. Who else changed them meanwhile was told of by itself.
 *
 * One notification too many does harm: a kernel drops the attributes of a GETATTR that it overtakes, and judges the caller
 * by the mode it had before (`adapters/fuse/DESIGN.md`, "Permissions").
 */
export class ShownInodes {
  readonly #before = new Map<number, { readonly inode: Inode | undefined; pages: boolean }>()

  /** `stale`: what an own change that is shown made stale. Asked while `view` still is what kernels were shown. */
  remember(operation: Operation, stale: readonly Invalidation[], view: View): void {
    if (isOfPages(operation)) return
    for (const item of stale) {
      if (item.kind !== 'inode') continue
      const known = this.#before.get(item.ino)
      const pages = item.offset >= 0
      if (known === undefined) this.#before.set(item.ino, { inode: view.get('inode', item.ino, ''), pages })
      else if (pages) known.pages = true
    }
  }

  /** What differs in what kernels are shown now. Forgets all. */
  take(view: View): Invalidation[] {
    if (this.#before.size === 0) return []
    const differing: Invalidation[] = []
    for (const [ino, { inode, pages }] of this.#before) {
      if (isSame(inode, view.get('inode', ino, ''))) continue
      const from = Math.min(inode?.size ?? 0, view.get('inode', ino, '')?.size ?? 0)
      differing.push({ kind: 'inode', ino, offset: pages ? from : -1, length: 0 })
    }
    this.#before.clear()
    return differing
  }
}

/** Of what kernels are shown. An inode that is not there may be one without a name, which a mount shows by itself: never the same. */
function isSame(one: Inode | undefined, other: Inode | undefined): boolean {
  if (one === undefined || other === undefined) return false
  const isShownSame = (key: keyof Inode): boolean => key === 'parent' || one[key] === other[key]
  return one === other || (Object.keys(one) as (keyof Inode)[]).every(isShownSame)
}

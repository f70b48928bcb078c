import { fileKey, overlap, type Lock, type LockPlace, type LockType, type Range, type Segment } from './lock.js'
import { changeRange, type Segments } from './segments.js'

/** Whether the locks of two owners never exclude each other. */
export type AreApart = (owner: string, other: string) => boolean

/** Held locks by file and owner. */
export class HeldLocks {
  readonly #areApart: AreApart
  readonly #files = new Map<string, Map<string, { readonly place: LockPlace; segments: Segments }>>()
  #count = 0

  constructor(areApart: AreApart = () => false) {
    this.#areApart = areApart
  }

  /** Held ranges, of all owners. */
  get count(): number {
    return this.#count
  }

  of(place: LockPlace): Segments {
    return this.#files.get(fileKey(place))?.get(place.owner)?.segments ?? []
  }

  /** The range becomes `to`, or free. */
  change(place: LockPlace, range: Range, to: { readonly type: LockType; readonly pid: number } | undefined): void {
    const key = fileKey(place)
    let owners = this.#files.get(key)
    const held = owners?.get(place.owner)
    if (held === undefined && to === undefined) return
    const { space, ino, owner } = place
    const next = changeRange(held?.segments ?? [], range, to)
    this.#count += next.length - (held?.segments.length ?? 0)
    if (next.length > 0) {
      if (owners === undefined) this.#files.set(key, (owners = new Map()))
      owners.set(owner, { place: { space, ino, owner }, segments: next })
      return
    }
    owners!.delete(owner)
    if (owners!.size === 0) this.#files.delete(key)
  }

  /** flock(2): changing the type is not atomic. The old lock goes first, and is lost if the new one is not to be had. */
  dropBeforeConversion(lock: Lock): void {
    if (lock.space !== 'flock') return
    if (this.of(lock).some(held => held.type !== lock.type)) this.change(lock, lock, undefined)
  }

  /** Those of other owners that exclude the lock. */
  *conflicts(lock: Lock): Generator<Segment & { readonly owner: string }> {
    for (const [owner, { segments }] of this.#files.get(fileKey(lock)) ?? []) {
      if (owner === lock.owner || this.#areApart(owner, lock.owner)) continue
      for (const segment of segments) {
        if (overlap(segment, lock) && (segment.type === 'write' || lock.type === 'write')) yield { ...segment, owner }
      }
    }
  }

  *[Symbol.iterator](): Generator<Lock> {
    for (const owners of this.#files.values()) {
      for (const { place, segments } of owners.values()) {
        for (const { start, end, type, pid } of segments) yield { ...place, start, end, type, pid }
      }
    }
  }

  clear(): void {
    this.#files.clear()
    this.#count = 0
  }
}

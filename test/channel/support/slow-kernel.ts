import type { Invalidation, Mounted } from '../../../src/channel/mount-port.js'
import type { Member } from './cluster.js'

/** A kernel that takes notifications when it is told to. */
export class SlowKernel implements Mounted {
  readonly directory = ''
  readonly operations = 0
  readonly errors = 0
  readonly waiting = 0
  readonly attached = true
  readonly device = undefined
  readonly ended = new Promise<void>(() => {})
  readonly items: Invalidation[] = []
  /** Inodes of which it was told that answers on their way are stale. */
  readonly stale: number[] = []
  #marks: (() => void)[] = []

  constructor(member: Member) {
    member.frontend.mounted = this
  }

  take(): void {
    const marks = this.#marks
    this.#marks = []
    for (const mark of marks) mark()
  }

  takeAll(): void {
    while (this.#marks.length > 0) this.take()
  }

  invalidate(items: readonly Invalidation[]): void {
    this.items.push(...items)
  }
  invalidateAll(): void {}
  staleAttributes(ino: number): void {
    this.stale.push(ino)
  }
  settled(done: () => void): void {
    this.#marks.push(done)
  }
  unmount(): Promise<void> {
    return Promise.resolve()
  }
}

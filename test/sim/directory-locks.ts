interface Waiting {
  readonly directories: readonly number[]
  readonly shared: boolean
  readonly task: (release: () => void) => void
}

/**
 * The locks that Linux holds on directories while it works on their names (Documentation/filesystems/directory-locking):
 * a lookup shares it, all else has it alone. First come, first served.
 */
export class DirectoryLocks {
  /** How many share a lock; -1: one has it alone. */
  readonly #held = new Map<number, number>()
  #waiting: Waiting[] = []

  take(directories: readonly number[], shared: boolean, task: (release: () => void) => void): void {
    const waiting = { directories: [...new Set(directories)], shared, task }
    const isBehind = this.#waiting.some(other => other.directories.some(ino => waiting.directories.includes(ino)))
    if (isBehind || !this.#isFree(waiting)) this.#waiting.push(waiting)
    else this.#run(waiting)
  }

  #isFree({ directories, shared }: Waiting): boolean {
    return directories.every(ino => {
      const count = this.#held.get(ino) ?? 0
      return shared ? count >= 0 : count === 0
    })
  }

  #run({ directories, shared, task }: Waiting): void {
    for (const ino of directories) this.#held.set(ino, shared ? (this.#held.get(ino) ?? 0) + 1 : -1)
    task(() => {
      for (const ino of directories) {
        const left = shared ? this.#held.get(ino)! - 1 : 0
        if (left === 0) this.#held.delete(ino)
        else this.#held.set(ino, left)
      }
      const waiting = this.#waiting
      this.#waiting = []
      for (const one of waiting) this.take(one.directories, one.shared, one.task)
    })
  }
}

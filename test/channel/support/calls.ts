import type { Caller, Entry, OpenFile, Reply } from '../../../src/channel/mount-port.js'
import type { Cluster, Member } from './cluster.js'

export const caller: Caller = { uid: 0, gid: 0, pid: 1 }

export interface Result<T> {
  value?: T
  errno?: number
}

/** Makes one call of a mount and lets time pass until it is answered. */
export function call<T>(cluster: Cluster, make: (reply: Reply<T>) => void): Result<T> {
  const result: { value?: T; errno?: number; done: boolean } = { done: false }
  const answer = (): void => {
    if (result.done) throw new Error('a call was answered twice')
    result.done = true
  }
  make({
    ok: value => {
      answer()
      result.value = value
    },
    fail: errno => {
      answer()
      result.errno = errno
    },
    onInterrupt: () => {},
  })
  cluster.until('the answer to a call', () => result.done)
  return result
}

function must<T>({ value, errno }: Result<T>): T {
  if (errno !== undefined) throw new Error(`a call failed with errno ${errno}`)
  return value as T
}

/** A program on a member: opens, reads, writes, closes; a failed call throws. */
export class Program {
  readonly #cluster: Cluster
  readonly #member: Member

  constructor(cluster: Cluster, member: Member) {
    this.#cluster = cluster
    this.#member = member
  }

  create(name: string, parent = 1): { ino: number; handle: number } {
    const made = must(
      call<{ entry: Entry; file: OpenFile }>(this.#cluster, reply =>
        this.#member.frontend.create(caller, parent, name, 0o100644, 0o102, reply),
      ),
    )
    return { ino: made.entry.attributes.ino, handle: made.file.handle }
  }
  open(ino: number, flags = 2): number {
    return must(call<OpenFile>(this.#cluster, reply => this.#member.frontend.open(caller, ino, flags, false, reply)))
      .handle
  }
  write(ino: number, handle: number, offset: number, text: string, flags = 2): void {
    must(
      call<number>(this.#cluster, reply =>
        this.#member.frontend.write(caller, ino, handle, offset, Buffer.from(text), flags, false, reply),
      ),
    )
  }
  read(ino: number, handle: number): string {
    const parts = must(
      call<Uint8Array[]>(this.#cluster, reply => this.#member.frontend.read(caller, ino, handle, 0, 1 << 20, reply)),
    )
    return Buffer.concat(parts).toString()
  }
  /** Answers the errno of the close that follows. */
  flush(ino: number, handle: number): number {
    return call<void>(this.#cluster, reply => this.#member.frontend.flush(caller, ino, handle, 0n, reply)).errno ?? 0
  }
  close(ino: number, handle: number): number {
    const errno = this.flush(ino, handle)
    must(call<void>(this.#cluster, reply => this.#member.frontend.release(ino, handle, undefined, reply)))
    return errno
  }
  links(ino: number): number {
    return must(
      call<{ attributes: { nlink: number } }>(this.#cluster, reply =>
        this.#member.frontend.getattr(caller, ino, reply),
      ),
    ).attributes.nlink
  }
  unlink(name: string, parent = 1): number {
    return call<void>(this.#cluster, reply => this.#member.frontend.unlink(caller, parent, name, reply)).errno ?? 0
  }
}

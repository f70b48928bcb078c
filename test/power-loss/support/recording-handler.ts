import type {
  AttributeChange,
  Attributes,
  Caller,
  Entry,
  FileSystemHandler,
  OpenFile,
  Reply,
} from '../../../src/channel/mount-port.js'
import { MemoryHandler } from '../../adapters/fuse/memory-handler.js'
import { type DiskEvent, marksName } from './disk-event.js'

const O_TRUNC = 0o1000
/** A slow disk gives time for what should have waited for it. */
const syncMs = 3

/** A reply that passes on what `done` has seen first. */
function after<T>(reply: Reply<T>, done: (value: T) => void): Reply<T> {
  return {
    ok: value => {
      done(value)
      reply.ok(value)
    },
    fail: errno => reply.fail(errno),
    onInterrupt: listener => reply.onInterrupt(listener),
  }
}

/**
 * A file system in memory that records all that would reach a disk, in the order the kernel asked for it. A directory made
 * in the root's folder `marks` is a mark.
 */
export class RecordingHandler extends MemoryHandler implements FileSystemHandler {
  readonly record: DiskEvent[] = []
  #marks: number | undefined

  #made(parent: number, name: string, { attributes: { ino, mode } }: Entry): void {
    if (parent === this.#marks) return void this.record.push({ kind: 'mark', text: name })
    if (parent === 1 && name === marksName) this.#marks = ino
    this.record.push({ kind: 'make', parent, name, ino, mode })
  }

  #sync(ino: number, done: () => void): void {
    const through = this.record.length
    setTimeout(() => {
      this.record.push({ kind: 'sync', ino, through })
      done()
    }, syncMs)
  }

  override mknod(caller: Caller, parent: number, name: string, mode: number, rdev: number, reply: Reply<Entry>): void {
    super.mknod(
      caller,
      parent,
      name,
      mode,
      rdev,
      after(reply, entry => this.#made(parent, name, entry)),
    )
  }

  override symlink(): void {
    throw new Error('the recorded disk has no symbolic links')
  }

  override create(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    super.create(
      caller,
      parent,
      name,
      mode,
      flags,
      after(reply, ({ entry }) => this.#made(parent, name, entry)),
    )
  }

  override link(caller: Caller, ino: number, parent: number, name: string, reply: Reply<Entry>): void {
    super.link(
      caller,
      ino,
      parent,
      name,
      after(reply, () => this.record.push({ kind: 'link', parent, name, ino })),
    )
  }

  override unlink(caller: Caller, parent: number, name: string, reply: Reply<void>): void {
    super.unlink(
      caller,
      parent,
      name,
      after(reply, () => this.record.push({ kind: 'remove', parent, name })),
    )
  }

  override rename(
    caller: Caller,
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    reply: Reply<void>,
  ): void {
    if (flags !== 0) throw new Error('the recorded disk has no renameat2 flags')
    super.rename(
      caller,
      parent,
      name,
      newParent,
      newName,
      flags,
      after(reply, () => this.record.push({ kind: 'rename', parent, name, newParent, newName })),
    )
  }

  override open(caller: Caller, ino: number, flags: number, kill: boolean, reply: Reply<OpenFile>): void {
    if (flags & O_TRUNC) this.record.push({ kind: 'resize', ino, size: 0 })
    super.open(caller, ino, flags, kill, reply)
  }

  override setattr(
    caller: Caller,
    ino: number,
    change: AttributeChange,
    reply: Reply<{ attributes: Attributes; ttlMs: number }>,
  ): void {
    if (change.size !== undefined) this.record.push({ kind: 'resize', ino, size: change.size })
    super.setattr(caller, ino, change, reply)
  }

  override write(
    caller: Caller,
    ino: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    flags: number,
    kill: boolean,
    reply: Reply<number>,
  ): void {
    this.record.push({ kind: 'write', ino, offset, data: Uint8Array.from(data) })
    super.write(caller, ino, handle, offset, data, flags, kill, reply)
  }

  override fallocate(): void {
    throw new Error('the recorded disk has no fallocate(2)')
  }

  override copyFileRange(): void {
    throw new Error('the recorded disk has no copy_file_range(2)')
  }

  override fsync(caller: Caller, ino: number, handle: number, dataOnly: boolean, reply: Reply<void>): void {
    this.#sync(ino, () => super.fsync(caller, ino, handle, dataOnly, reply))
  }

  override fsyncdir(caller: Caller, ino: number, handle: number, dataOnly: boolean, reply: Reply<void>): void {
    this.#sync(ino, () => super.fsyncdir(caller, ino, handle, dataOnly, reply))
  }
}

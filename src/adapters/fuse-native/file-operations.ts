import { assert } from '../../base/assert.js'
import { EBADF } from '../../base/errno.js'
import type { DirectoryItem, Entry, OpenFile } from '../../channel/mount-port.js'
import type { OperationContext, Performers } from './context.js'
import type { NativeCall } from './native-call.js'
import { whole } from './operations.js'

const O_TRUNC = 0o1000

/** Opened for nobody: the call was answered before, since its time was up. */
const ignored = { ok: () => undefined, fail: () => undefined, onInterrupt: () => undefined }

/** The calls on open files and directories. */
export function fileOperations(context: OperationContext): Pick<Performers, FileOperation> {
  const { handler, caller, paths, files } = context

  const opened = (call: NativeCall, ino: number, { handle }: OpenFile): void =>
    call.succeedWith(files.add({ ino, handle }))

  /** Runs `use` on the opened directory at `path`, which is closed when the call ends. */
  const withDirectory = (call: NativeCall, path: string, use: (ino: number, handle: number) => void): void => {
    paths.resolve(call, path, ({ ino }) => {
      const close = ({ handle }: OpenFile): void => handler.releasedir(ino, handle, ignored)
      const reply = call.reply<OpenFile>(file => {
        call.atEnd(() => close(file))
        use(ino, file.handle)
      }, close)
      handler.opendir(caller, ino, 0, reply)
    })
  }

  return {
    open(call, path, flags) {
      paths.resolve(call, path, ({ ino }) => {
        const reply = call.reply<OpenFile>(
          file => opened(call, ino, file),
          ({ handle }) => handler.release(ino, handle, undefined, ignored),
        )
        handler.open(caller, ino, flags, context.writeKillsPrivileges && (flags & O_TRUNC) !== 0, reply)
      })
    },

    create(call, path, mode) {
      const flags = call.request.openFlags()
      paths.place(call, path, true, ({ parent, name }) => {
        const reply = call.reply<{ entry: Entry; file: OpenFile }>(
          ({ entry, file }) => {
            call.noteEntry(entry.attributes.ino)
            opened(call, entry.attributes.ino, file)
          },
          ({ entry, file }) => {
            call.noteEntry(entry.attributes.ino)
            handler.release(entry.attributes.ino, file.handle, undefined, ignored)
          },
        )
        handler.create(caller, parent, name, context.creationMode(mode), flags, reply)
      })
    },

    read(call, _path, number, buffer, length, low, high) {
      const file = files.get(number)
      if (file === undefined) return call.fail(EBADF)
      const reply = call.reply<Uint8Array[]>(parts => {
        let bytes = 0
        for (const part of parts) {
          assert(bytes + part.length <= length, `a read of ${length} bytes was answered with more`)
          buffer.set(part, bytes)
          bytes += part.length
        }
        call.succeed(bytes)
      })
      handler.read(caller, file.ino, file.handle, whole(low, high), length, reply)
    },

    write(call, _path, number, data, _length, low, high) {
      const file = files.get(number)
      if (file === undefined) return call.fail(EBADF)
      const flags = call.request.openFlags()
      const reply = call.reply<number>(bytes => call.succeed(bytes))
      // The bytes lie in libfuse's buffer, which is its own again after the answer.
      const copy = Buffer.from(data)
      handler.write(caller, file.ino, file.handle, whole(low, high), copy, flags, context.writeKillsPrivileges, reply)
    },

    flush(call, _path, number) {
      const file = files.get(number)
      if (file === undefined) return call.fail(EBADF)
      const reply = call.reply<void>(() => call.succeed())
      handler.flush(caller, file.ino, file.handle, 0n, reply)
    },

    fsync(call, _path, dataOnly, number) {
      const file = files.get(number)
      if (file === undefined) return call.fail(EBADF)
      const reply = call.reply<void>(() => call.succeed())
      handler.fsync(caller, file.ino, file.handle, dataOnly !== 0, reply)
    },

    release(call, _path, number) {
      const file = files.remove(number)
      if (file === undefined) return call.fail(EBADF)
      const reply = call.reply<void>(() => call.succeed())
      handler.release(file.ino, file.handle, undefined, reply)
    },

    /** libfuse keeps the whole listing for its reader, until it is rewound. */
    readdir(call, path) {
      withDirectory(call, path, (ino, handle) => {
        const items: DirectoryItem[] = []
        const more = (): void => {
          const before = items.length
          const reply = call.reply<void>(() => (items.length > before ? more() : call.succeedWith(items)))
          const add = (item: DirectoryItem): boolean => items.push(item) > 0
          handler.readdir(caller, ino, handle, items.at(-1)?.offset ?? 0n, false, add, reply)
        }
        more()
      })
    },

    fsyncdir(call, path, dataOnly) {
      withDirectory(call, path, (ino, handle) => {
        const reply = call.reply<void>(() => call.succeed())
        handler.fsyncdir(caller, ino, handle, dataOnly !== 0, reply)
      })
    },
  }
}

type FileOperation = 'open' | 'create' | 'read' | 'write' | 'flush' | 'fsync' | 'release' | 'readdir' | 'fsyncdir'

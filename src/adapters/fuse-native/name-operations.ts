import type { Entry, FileSystemHandler } from '../../channel/mount-port.js'
import { ENAMETOOLONG, EPERM } from '../../base/errno.js'
import type { NativeCall } from './native-call.js'
import { isReadableTarget, type OperationContext, type Performers } from './context.js'
import { Paths } from './paths.js'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000

/** The calls that make, move and delete names. */
export function nameOperations(context: OperationContext): Pick<Performers, NameOperation> {
  const { handler, caller, paths } = context

  /** Makes something at `path`. */
  const make = (
    call: NativeCall,
    path: string,
    operation: (parent: number, name: string, reply: Parameters<FileSystemHandler['mkdir']>[4]) => void,
  ): void => {
    const note = ({ attributes }: Entry): void => call.noteEntry(attributes.ino)
    const made = call.reply<Entry>(entry => {
      note(entry)
      call.succeed()
    }, note)
    paths.place(call, path, true, ({ parent, name }) => operation(parent, name, made))
  }

  const done = (call: NativeCall): ReturnType<typeof call.reply<void>> => call.reply<void>(() => call.succeed())

  return {
    mknod(call, path, mode, device) {
      make(call, path, (parent, name, reply) =>
        handler.mknod(caller, parent, name, context.creationMode(mode), device, reply),
      )
    },

    mkdir(call, path, mode) {
      make(call, path, (parent, name, reply) => handler.mkdir(caller, parent, name, mode, reply))
    },

    symlink(call, target, path) {
      if (!isReadableTarget(target)) return call.fail(ENAMETOOLONG)
      make(call, path, (parent, name, reply) => handler.symlink(caller, parent, name, target, reply))
    },

    link(call, from, to) {
      paths.resolve(call, from, ({ ino, mode }) => {
        if ((mode & S_IFMT) === S_IFDIR) return call.fail(EPERM)
        make(call, to, (parent, name, reply) => handler.link(caller, ino, parent, name, reply))
      })
    },

    unlink(call, path) {
      if (paths.unhide(path)) return call.succeed()
      paths.place(call, path, false, ({ parent, name }) => handler.unlink(caller, parent, name, done(call)))
    },

    rmdir(call, path) {
      paths.place(call, path, false, ({ parent, name }) => handler.rmdir(caller, parent, name, done(call)))
    },

    rename(call, from, to) {
      if (Paths.isHidden(to)) return paths.hide(call, from, to)
      paths.place(call, from, false, source => {
        paths.place(call, to, false, target => {
          handler.rename(caller, source.parent, source.name, target.parent, target.name, 0, done(call))
        })
      })
    },
  }
}

type NameOperation = 'mknod' | 'mkdir' | 'symlink' | 'link' | 'unlink' | 'rmdir' | 'rename'

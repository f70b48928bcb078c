import { EBADF, EINVAL, ENAMETOOLONG, ERANGE } from '../../base/errno.js'
import type { AttributeChange, Attributes } from '../../channel/mount-port.js'
import { isReadableTarget, type OperationContext, type Performers } from './context.js'
import type { NativeCall } from './native-call.js'
import { whole } from './operations.js'
import { encodeStat, encodeStatvfs } from './stat.js'

/** chown(2): leave this one as it is. */
const UNCHANGED = 0xffff_ffff
/** Stands for bytes that are no UTF-8 where the native part has decoded them. */
const REPLACEMENT = '\ufffd'

/** The calls about attributes, links' targets, extended attributes and the file system itself. */
export function attributeOperations(context: OperationContext): Pick<Performers, AttributeOperation> {
  const { handler, caller, paths, files } = context

  const answerStat = (call: NativeCall, path: string, attributes: Attributes): void => {
    // fuse_lib_getattr() takes the hidden name off the links, unless none is left; here that name is no link.
    const hiddenLinks = attributes.nlink > 0 && paths.isHiding(path) ? 1 : 0
    call.request.writeStat(encodeStat({ ...attributes, nlink: attributes.nlink + hiddenLinks }))
    call.succeed()
  }

  const change = (call: NativeCall, ino: number, changes: Partial<AttributeChange>): void => {
    const reply = call.reply(() => call.succeed())
    handler.setattr(caller, ino, { killPrivileges: false, ...changes }, reply)
  }

  /** Extended attributes' names pass as UTF-8; the handler wants one char a byte. */
  const withName = (call: NativeCall, name: string, then: (name: string) => void): void => {
    if (name.includes(REPLACEMENT)) call.fail(EINVAL)
    else then(Buffer.from(name, 'utf8').toString('latin1'))
  }

  /** Size 0 asks how long the value is. */
  const answerSized = (call: NativeCall, value: Uint8Array, buffer: Buffer): void => {
    if (buffer.length === 0) return call.succeed(value.length)
    if (value.length > buffer.length) return call.fail(ERANGE)
    buffer.set(value)
    call.succeed(value.length)
  }

  return {
    getattr(call, path) {
      paths.resolve(call, path, attributes => answerStat(call, path, attributes))
    },

    fgetattr(call, path, number) {
      const file = files.get(number)
      if (file === undefined) return call.fail(EBADF)
      handler.getattr(
        caller,
        file.ino,
        call.reply(({ attributes }) => answerStat(call, path, attributes)),
      )
    },

    chmod(call, path, mode) {
      paths.resolve(call, path, ({ ino }) => change(call, ino, { mode: mode & 0o7777 }))
    },

    chown(call, path, uid, gid) {
      const owner = { ...(uid === UNCHANGED ? {} : { uid }), ...(gid === UNCHANGED ? {} : { gid }) }
      paths.resolve(call, path, ({ ino }) => change(call, ino, owner))
    },

    truncate(call, path, low, high) {
      paths.resolve(call, path, ({ ino }) => change(call, ino, { size: whole(low, high) }))
    },

    ftruncate(call, _path, number, low, high) {
      const file = files.get(number)
      if (file === undefined) return call.fail(EBADF)
      change(call, file.ino, { size: whole(low, high), handle: file.handle })
    },

    utimens(call, path) {
      paths.resolve(call, path, ({ ino }) => change(call, ino, call.request.times()))
    },

    readlink(call, path) {
      paths.resolve(call, path, ({ ino }) => {
        const reply = call.reply<string>(target => {
          if (isReadableTarget(target)) call.succeedWith(target)
          else call.fail(ENAMETOOLONG)
        })
        handler.readlink(caller, ino, reply)
      })
    },

    statfs(call) {
      const reply = call.reply<Parameters<typeof encodeStatvfs>[0]>(statistics => {
        call.request.writeStatvfs(encodeStatvfs(statistics))
        call.succeed()
      })
      handler.statfs(caller, reply)
    },

    setxattr(call, path, name, value, _position, flags) {
      const copy = Buffer.from(value)
      withName(call, name, name =>
        paths.resolve(call, path, ({ ino }) => {
          const reply = call.reply<void>(() => call.succeed())
          handler.setxattr(caller, ino, name, copy, flags, reply)
        }),
      )
    },

    getxattr(call, path, name, buffer) {
      withName(call, name, name =>
        paths.resolve(call, path, ({ ino }) => {
          const reply = call.reply<Uint8Array>(value => answerSized(call, value, buffer))
          handler.getxattr(caller, ino, name, reply)
        }),
      )
    },

    listxattr(call, path, buffer) {
      paths.resolve(call, path, ({ ino }) => {
        const reply = call.reply<readonly string[]>(names =>
          answerSized(call, Buffer.from(names.map(name => name + '\0').join(''), 'latin1'), buffer),
        )
        handler.listxattr(caller, ino, reply)
      })
    },

    removexattr(call, path, name) {
      withName(call, name, name =>
        paths.resolve(call, path, ({ ino }) => {
          const reply = call.reply<void>(() => call.succeed())
          handler.removexattr(caller, ino, name, reply)
        }),
      )
    },
  }
}

type AttributeOperation =
  | 'getattr'
  | 'fgetattr'
  | 'chmod'
  | 'chown'
  | 'truncate'
  | 'ftruncate'
  | 'utimens'
  | 'readlink'
  | 'statfs'
  | 'setxattr'
  | 'getxattr'
  | 'listxattr'
  | 'removexattr'

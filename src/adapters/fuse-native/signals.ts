import type { DirectoryItem } from '../../channel/mount-port.js'
import type { Binding } from './binding.js'
import type { OperationName } from './operations.js'

/** What an operation answers besides its result: a file's number, a link's target, a listing. */
export type NativeValue = number | string | readonly DirectoryItem[]

/** Hands the result to libfuse's thread, which waits for it: 0 or more, or a negative errno. Called exactly once. */
export type Signal = (result: number, value?: NativeValue) => void

const STAT_INTS = 18
const STAT_MODE = 0
const STAT_NLINK = 6
const STAT_INO = 7
/** FUSE_UNKNOWN_INO: numbers of a listing pass with 32 bits, and a wrong one is worse than none. */
const UNKNOWN_INO = 0xffff_ffff

/** How the operation's result is handed over. `args` are those that came with the call. */
export function signalOf(binding: Binding, name: OperationName, locals: Buffer, args: readonly unknown[]): Signal {
  const { signal } = binding
  switch (name) {
    case 'readlink':
      return (result, value = '') => signal.readlink(locals, result, value)
    case 'open':
    case 'create':
      return (result, value = 0) => signal[name](locals, result, value)
    case 'read':
    case 'write':
      // The buffer is detached: its memory is libfuse's.
      return result => signal[name](locals, result, 0, (args[2] as Buffer).buffer)
    case 'setxattr':
    case 'getxattr':
      return result => signal[name](locals, result, (args[2] as Buffer).buffer)
    case 'listxattr':
      return result => signal.listxattr(locals, result, (args[1] as Buffer).buffer)
    case 'readdir':
      return (result, value) => {
        const items = (value ?? []) as readonly DirectoryItem[]
        const names = items.map(item => item.name)
        const stats = items.map(item => statOfType(item.type))
        signal.readdir(locals, result, names, stats)
      }
    default:
      // getattr, fgetattr and statfs have put their answer in its place already; their own signals would overwrite it.
      // All those without a value are the same.
      return result => signal.chmod(locals, result)
  }
}

const stats = new Map<number, Uint32Array>()

function statOfType(type: number): Uint32Array {
  let stat = stats.get(type)
  if (stat === undefined) {
    stat = new Uint32Array(STAT_INTS)
    stat[STAT_MODE] = type
    stat[STAT_NLINK] = 1
    stat[STAT_INO] = UNKNOWN_INO
    stats.set(type, stat)
  }
  return stat
}

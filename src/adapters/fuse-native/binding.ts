import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { messageOf, RkfsError } from '../../base/errors.js'
import { operationNames, type OperationName } from './operations.js'

/** `request.ts` reads structures of this build; another version may lay them out in another way. */
const FUSE_NATIVE_VERSION = '2.2.6'

/** What is called from libfuse's threads, in the main thread: the thread's locals, the operation's number, its arguments. */
export type NativeHandler = (locals: Buffer, operation: number, ...args: never[]) => void

/**
 * The native half of fuse-native. Its JavaScript half is not used: it drops open flags, cuts inode numbers to 32 bits and
 * times to milliseconds, leaves options out, and unmounts through a shell.
 */
export interface Binding {
  readonly sizeof_fuse_thread_t: number
  /** Mounts and starts libfuse's threads. `handlers` and `implemented` have the operations' numbers as indexes. */
  fuse_native_mount(
    directory: string,
    options: string,
    thread: Buffer,
    context: object,
    allocate: (bytes: number) => Buffer,
    handlers: readonly NativeHandler[],
    implemented: Uint32Array,
  ): void
  /** Lets go of the event loop; unmounts nothing. */
  fuse_native_unmount(directory: string, thread: Buffer): void
  /** `fuse_native_signal_*`: sets a call's result and lets its thread go on; operations with results of their own take more. */
  readonly signal: Readonly<Record<OperationName, (locals: Buffer, result: number, ...more: unknown[]) => void>>
  /** `op_*`: the operations' numbers. */
  readonly number: Readonly<Record<OperationName, number>>
}

/**
 * Loads fuse-native, which the driver alone needs, as the module `from` sees it. Fails with `unavailable`, naming what is
 * missing and the remedy.
 */
export function loadBinding(from: string = import.meta.url): Binding {
  const otherwise = 'or leave driver=fuse-native out'
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new RkfsError('unavailable', `fuse-native has no build for ${process.arch}: leave driver=fuse-native out`)
  }
  const require = createRequire(from)
  let manifest: string
  try {
    manifest = require.resolve('fuse-native/package.json')
  } catch (cause) {
    const remedy = `npm install --ignore-scripts fuse-native@${FUSE_NATIVE_VERSION}`
    throw new RkfsError('unavailable', `the package fuse-native is not installed: ${remedy}, ${otherwise}`, { cause })
  }
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  if (version !== FUSE_NATIVE_VERSION) {
    throw new RkfsError(
      'unavailable',
      `fuse-native ${version} does not serve: install ${FUSE_NATIVE_VERSION}, ${otherwise}`,
    )
  }
  let loaded: Record<string, unknown>
  try {
    const build = createRequire(manifest)('node-gyp-build') as (folder: string) => Record<string, unknown>
    loaded = build(dirname(manifest))
  } catch (cause) {
    const why = messageOf(cause).split('\n')[0]
    throw new RkfsError(
      'unavailable',
      /libfuse\.so\.2/.test(messageOf(cause))
        ? `libfuse 2 is not installed: install the Debian package libfuse2, ${otherwise}`
        : `fuse-native does not load (${why}): see native-deps.md, ${otherwise}`,
      { cause },
    )
  }
  const pick = <T>(prefix: string): Record<OperationName, T> =>
    Object.fromEntries(operationNames.map(name => [name, loaded[prefix + name] as T])) as Record<OperationName, T>
  const { sizeof_fuse_thread_t, fuse_native_mount, fuse_native_unmount } = loaded as unknown as Binding
  return {
    sizeof_fuse_thread_t,
    fuse_native_mount,
    fuse_native_unmount,
    signal: pick('fuse_native_signal_'),
    number: pick('op_'),
  }
}

/** Why the driver cannot be used here, with the remedy; undefined when it can. */
export function fuseNativeProblem(): string | undefined {
  try {
    loadBinding()
    return undefined
  } catch (error) {
    if (!(error instanceof RkfsError)) throw error
    return error.message
  }
}

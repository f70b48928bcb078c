import { createRequire } from 'node:module'
import { messageOf } from '../../base/errors.js'

/** Those that every node needs; fuse-native, which one mount option needs, is loaded by its driver alone. */
export const nativeModules = ['better-sqlite3', 'koffi'] as const
export type NativeModule = (typeof nativeModules)[number]

/** Why a native module does not load, in one line; undefined when it works. */
export function nativeModuleProblem(name: NativeModule): string | undefined {
  try {
    const loaded = createRequire(import.meta.url)(name) as unknown
    // better-sqlite3 loads its binary at the first use.
    if (name === 'better-sqlite3') new (loaded as new (path: string) => { close(): void })(':memory:').close()
    return undefined
  } catch (error) {
    return messageOf(error).split('\n')[0]
  }
}

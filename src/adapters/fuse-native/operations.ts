/**
 * The calls that reach us of those in libfuse 2's `struct fuse_operations`, with what the native part passes to
 * JavaScript (fuse-native.c). Paths begin at the mount point and have one char a byte (see `libfuseOptions`). A 64-bit
 * number comes as its low and its high half.
 */
export interface OperationArguments {
  init: []
  getattr: [path: string]
  fgetattr: [path: string, file: number]
  statfs: [path: string]
  readdir: [path: string]
  fsyncdir: [path: string, dataOnly: number, file: number]
  readlink: [path: string]
  mknod: [path: string, mode: number, device: number]
  mkdir: [path: string, mode: number]
  symlink: [target: string, path: string]
  link: [from: string, to: string]
  unlink: [path: string]
  rmdir: [path: string]
  rename: [from: string, to: string]
  chmod: [path: string, mode: number]
  chown: [path: string, uid: number, gid: number]
  truncate: [path: string, sizeLow: number, sizeHigh: number]
  ftruncate: [path: string, file: number, sizeLow: number, sizeHigh: number]
  /** The times that the native part passes are wrong (both are atime): see `NativeRequest.times`. */
  utimens: [path: string]
  open: [path: string, flags: number]
  create: [path: string, mode: number]
  read: [path: string, file: number, buffer: Buffer, length: number, offsetLow: number, offsetHigh: number]
  write: [path: string, file: number, data: Buffer, length: number, offsetLow: number, offsetHigh: number]
  flush: [path: string, file: number]
  fsync: [path: string, dataOnly: number, file: number]
  release: [path: string, file: number]
  setxattr: [path: string, name: string, value: Buffer, position: number, flags: number]
  getxattr: [path: string, name: string, buffer: Buffer, position: number]
  listxattr: [path: string, buffer: Buffer]
  removexattr: [path: string, name: string]
}

export type OperationName = keyof OperationArguments

/** All but `opendir`, `releasedir` and `access`: a listing is read whole, and the kernel checks permissions. */
export const operationNames = [
  'init',
  'getattr',
  'fgetattr',
  'statfs',
  'readdir',
  'fsyncdir',
  'readlink',
  'mknod',
  'mkdir',
  'symlink',
  'link',
  'unlink',
  'rmdir',
  'rename',
  'chmod',
  'chown',
  'truncate',
  'ftruncate',
  'utimens',
  'open',
  'create',
  'read',
  'write',
  'flush',
  'fsync',
  'release',
  'setxattr',
  'getxattr',
  'listxattr',
  'removexattr',
] as const satisfies readonly OperationName[]

/** A 64-bit number from its halves. */
export function whole(low: number, high: number): number {
  return low + high * 2 ** 32
}

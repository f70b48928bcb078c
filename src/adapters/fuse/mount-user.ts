import { accessSync, closeSync, constants } from 'node:fs'
import { RkfsError } from '../../base/errors.js'
import type { MountOptions } from '../../channel/mount-port.js'
import { deviceError } from './mount-root.js'
import { run } from './run.js'

const MOUNT_TIMEOUT_MS = 30_000
const AF_UNIX = 1
const SOCK_STREAM_CLOEXEC = 1 | 0x80000
const MSG_CMSG_CLOEXEC = 0x40000000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1

/**
 * Mounts without root: fusermount3 (set-uid) mounts and hands the open device over a socket (SCM_RIGHTS), which Node
 * cannot receive; koffi calls recvmsg(2) for it. Structures are those of 64-bit Linux.
 */
export async function mountAsUser(directory: string, options: MountOptions): Promise<number> {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch (error) {
    throw deviceError(error)
  }
  const { default: koffi } = await import('koffi')
  const libc = koffi.load('libc.so.6')
  const socketpair = libc.func('int socketpair(int, int, int, _Out_ int *)')
  const recvmsg = libc.func('long recvmsg(int, void *, int)')
  const pair = [-1, -1]
  if (socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pair) !== 0) throw new RkfsError('failed', 'socketpair failed')
  const [ours, theirs] = pair as [number, number]
  const mounting = run('fusermount3', ['-o', userMountOptions(options), '--', directory], {
    timeoutMs: MOUNT_TIMEOUT_MS,
    extraFd: theirs,
    env: { _FUSE_COMMFD: '3' },
  })
  closeSync(theirs)

  // struct msghdr with one struct iovec of one byte and room for one control message of one descriptor.
  const data = Buffer.alloc(1)
  const control = Buffer.alloc(24)
  const vector = Buffer.alloc(16)
  const message = Buffer.alloc(56)
  vector.writeBigUInt64LE(BigInt(koffi.address(data)), 0)
  vector.writeBigUInt64LE(1n, 8)
  message.writeBigUInt64LE(BigInt(koffi.address(vector)), 16)
  message.writeBigUInt64LE(1n, 24)
  message.writeBigUInt64LE(BigInt(koffi.address(control)), 32)
  message.writeBigUInt64LE(BigInt(control.length), 40)
  // Ends with 0 when fusermount3 exits without sending.
  const received = await new Promise<number>((resolve, reject) => {
    recvmsg.async(ours, message, MSG_CMSG_CLOEXEC, (error: unknown, count: number | bigint) =>
      error ? reject(error as Error) : resolve(Number(count)),
    )
  })
  closeSync(ours)
  const { status, stderr } = await mounting
  const passed = received > 0 && control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS
  if (passed && status === 0) return control.readInt32LE(16)
  if (passed) closeSync(control.readInt32LE(16))
  throw userMountError(directory, stderr)
}

function userMountOptions(options: MountOptions): string {
  const list = ['default_permissions', 'subtype=rkfs', `fsname=${options.source.replace(/[,\\]/g, '_')}`]
  if (options.allowOther) list.push('allow_other')
  if (options.readOnly) list.push('ro')
  if (options.noExec) list.push('noexec')
  return list.join(',')
}

function userMountError(directory: string, stderr: string): RkfsError {
  if (stderr.includes('ENOENT')) {
    return new RkfsError(
      'unavailable',
      'fusermount3 is not installed: install the package fuse3, or run as root, which needs no helper',
    )
  }
  const remedy = stderr.includes('user_allow_other') ? ' (add the line user_allow_other to /etc/fuse.conf)' : ''
  return new RkfsError('failed', `mounting at ${directory} failed: ${stderr || 'fusermount3 was killed'}${remedy}`)
}

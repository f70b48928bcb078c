import { ENOTTY, EOPNOTSUPP } from '../../base/errno.js'
import type { Request } from './decode.js'
import { GENERATION } from './encode.js'

/** include/uapi/linux/fs.h */
const FS_IOC_GETFLAGS = 0x80086601
const FS_IOC_SETFLAGS = 0x40086602
const FS_IOC_GETVERSION = 0x80087601
const FS_IOC_FSGETXATTR = 0x801c581f
const FS_IOC_FSSETXATTR = 0x401c5820

/** struct fuse_ioctl_out */
const IOCTL_OUT_BYTES = 16
/** struct fuse_ioctl_in */
const IOCTL_IN_BYTES = 32

/**
 * ioctl(2): inode flags (chattr(1)), of which no file has any, and the generation. Answers the reply's body or an errno.
 * The file is of no account, so the handler is not asked.
 */
export function answerIoctl(request: Request): Uint8Array | number {
  const command = request.u32(12)
  const outBytes = request.u32(28)
  const reply = new Uint8Array(IOCTL_OUT_BYTES + Math.min(outBytes, 64))
  switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_FSGETXATTR:
      return reply
    case FS_IOC_GETVERSION:
      if (outBytes >= 4) new DataView(reply.buffer).setUint32(IOCTL_OUT_BYTES, GENERATION, true)
      return reply
    case FS_IOC_SETFLAGS:
    case FS_IOC_FSSETXATTR:
      return request.u32(IOCTL_IN_BYTES) === 0 ? reply : EOPNOTSUPP
    default:
      return ENOTTY
  }
}

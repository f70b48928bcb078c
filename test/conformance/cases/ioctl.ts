import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { fresh } from '../kit/files.js'
import { O } from '../kit/flags.js'
import { sys } from '../kit/sys.js'

const FIONREAD = 0x541b
const FIGETBSZ = 2
const TCGETS = 0x5401
const FS_IOC_GETFLAGS = 0x80086601
const FICLONE = 0x40049409
const FIOCLEX = 0x5451

export const ioctl = cases('ioctl', add => {
  const number = (fd: number, request: number): number => {
    const buffer = Buffer.alloc(8)
    sys.ioctl(fd, request, buffer)
    return buffer.readInt32LE(0)
  }

  add('a terminal’s question', 'ioctl(2): ENOTTY; isatty(3)', () => {
    fails('ENOTTY', () => sys.ioctl(fresh('f'), TCGETS, Buffer.alloc(128)))
    fails('ENOTTY', () => sys.ioctl(sys.open('.', O.DIRECTORY), TCGETS, Buffer.alloc(128)))
  })
  add('a request that nobody knows', 'ioctl(2): ENOTTY', () => {
    fails('ENOTTY', () => sys.ioctl(fresh('f'), 0xdeadbe, Buffer.alloc(64)))
  })
  add('FIONREAD is what is left to the end', 'ioctl_list(2): FIONREAD of a regular file', () => {
    const fd = fresh('f', 'abcdef')
    equal(number(fd, FIONREAD), 6)
    sys.lseek(fd, 4)
    equal(number(fd, FIONREAD), 2)
  })
  add('FIGETBSZ is the block size', 'ioctl_list(2): FIGETBSZ', () => {
    const size = number(fresh('f'), FIGETBSZ)
    ok(size >= 512 && Number.isInteger(Math.log2(size)), `${size} is a power of two`)
  })
  add(
    'FS_IOC_GETFLAGS answers',
    'ioctl_iflags(2): FS_IOC_GETFLAGS',
    () => {
      const immutableOrAppendOnly = 0x10 | 0x20
      equal(number(fresh('f'), FS_IOC_GETFLAGS) & immutableOrAppendOnly, 0)
      sys.mkdir('d')
      equal(number(sys.open('d', O.DIRECTORY), FS_IOC_GETFLAGS) & immutableOrAppendOnly, 0)
    },
    { proof: 'ext4' },
  )
  add('FICLONE where nothing is shared', 'ioctl_ficlone(2): EOPNOTSUPP: cp(1) then copies', () => {
    const from = fresh('a', 'abc')
    fails(['EOPNOTSUPP', 'ENOTTY'], () => sys.ioctlNumber(fresh('b'), FICLONE, from))
    equal(sys.stat('b').size, 0)
  })
  add('FIOCLEX', 'ioctl_list(2): FIOCLEX', () => {
    const fd = fresh('f')
    sys.ioctl(fd, FIOCLEX, null)
    equal(sys.fcntl(fd, 1) & 1, 1)
  })
})

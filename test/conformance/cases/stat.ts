import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { file, fresh, pattern } from '../kit/files.js'
import { ACCESS, AT, O, S } from '../kit/flags.js'
import { alice, as, staff } from '../kit/identity.js'
import { sys } from '../kit/sys.js'

export const stat = cases('stat', add => {
  add('stat, lstat and fstat agree', 'POSIX stat, lstat, fstat', () => {
    const fd = fresh('f', 'abc')
    equal([sys.lstat('f'), sys.fstat(fd)], [sys.stat('f'), sys.stat('f')])
  })
  add('of a link and of its target', 'POSIX lstat: of the link itself', () => {
    file('f', 'abc')
    sys.symlink('f', 'l')
    equal([sys.lstat('l').type, sys.stat('l').type, sys.stat('l').ino], [S.IFLNK, S.IFREG, sys.stat('f').ino])
  })
  add('each file has its own inode number', 'POSIX stat: st_ino and st_dev identify the file', () => {
    for (let i = 0; i < 50; i++) file(`f${i}`)
    const numbers = Array.from({ length: 50 }, (_, i) => sys.stat(`f${i}`).ino)
    equal([new Set(numbers).size, numbers.every(number => number > 0)], [50, true])
  })
  add('the inode number stays', 'POSIX stat: st_ino', () => {
    const fd = fresh('f')
    const { ino } = sys.fstat(fd)
    sys.write(fd, 'abc')
    sys.chmod('f', 0o600)
    sys.rename('f', 'g')
    sys.close(fd)
    equal(sys.stat('g').ino, ino)
  })
  add('all files are of one device', 'POSIX stat: st_dev', () => {
    sys.mkdir('d')
    file('d/f')
    equal([sys.stat('d/f').dev, sys.stat('d').dev], [sys.stat('.').dev, sys.stat('.').dev])
  })
  add('blocks of 512 bytes', 'stat(3type): st_blocks', () => {
    file('f', pattern(100_000))
    sys.fsync(sys.open('f'))
    const { blocks } = sys.stat('f')
    ok(blocks >= 195 && blocks <= 1024, `${blocks} blocks hold 100000 bytes`)
    file('empty')
    equal(sys.stat('empty').blocks, 0)
  })
  add('the preferred block size', 'stat(3type): st_blksize', () => {
    file('f')
    const { blksize } = sys.stat('f')
    ok(blksize >= 512 && Number.isInteger(Math.log2(blksize)), `${blksize} is a power of two`)
  })
  add('a trailing slash', 'POSIX pathname resolution: ENOTDIR', () => {
    file('f')
    sys.mkdir('d')
    fails('ENOTDIR', () => sys.stat('f/'))
    fails('ENOTDIR', () => sys.stat('f/.'))
    equal(sys.stat('d/').type, S.IFDIR)
  })
  add('a missing name', 'stat(2): ENOENT', () => {
    fails('ENOENT', () => sys.stat('missing'))
    fails('ENOENT', () => sys.stat(''))
    fails('ENOENT', () => sys.stat('missing/..'))
  })
  add('no permission of the file is needed', 'stat(2): search permission of the directories alone', () => {
    file('f', 'abc', 0)
    equal(
      as(alice, () => sys.stat('f').size),
      3,
    )
  })
  add('statx: how fresh', 'statx(2): AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC', () => {
    file('f', 'abc')
    equal([sys.statx(AT.FDCWD, 'f', 0x2000).size, sys.statx(AT.FDCWD, 'f', 0x4000).size], [3, 3])
  })
  add('statx: an unknown flag', 'statx(2): EINVAL', () => {
    file('f')
    fails('EINVAL', () => sys.statx(AT.FDCWD, 'f', 0x10))
  })
  add('relative to a descriptor', 'fstatat(2)', () => {
    sys.mkdir('d')
    file('d/f', 'abc')
    const fd = sys.open('d', O.DIRECTORY)
    equal(sys.statx(fd, 'f', 0).size, 3)
    fails('ENOTDIR', () => sys.statx(sys.open('d/f'), 'x', 0))
  })
  add('what another process changed', 'POSIX stat', async ({ actor }) => {
    const other = await actor()
    file('f', 'abc')
    equal(sys.stat('f').size, 3)
    await other.do('truncate', 'f', 10)
    await other.do('chmod', 'f', 0o604)
    equal([sys.stat('f').size, sys.stat('f').perm], [10, 0o604])
    await other.do('unlink', 'f')
    fails('ENOENT', () => sys.stat('f'))
  })
  add('a new file does not take the number of an open one', 'POSIX stat: st_ino of files that exist', () => {
    const numbers = new Set<number>()
    for (let i = 0; i < 20; i++) {
      const fd = fresh('f')
      numbers.add(sys.fstat(fd).ino)
      sys.unlink('f')
    }
    equal(numbers.size, 20)
  })
  add('a directory has a size and two links', 'stat(3type)', () => {
    sys.mkdir('d')
    const { nlink, size } = sys.stat('d')
    equal([nlink, size >= 0], [2, true])
  })
})

export const access = cases('access', add => {
  const { F, R, W, X } = ACCESS

  add(
    'each permission of the owner',
    'POSIX access',
    () => {
      for (const [perm, can] of [
        [0o400, R],
        [0o200, W],
        [0o100, X],
      ] as const) {
        file(`f${perm}`, '', perm)
        sys.chown(`f${perm}`, alice.uid, alice.gid)
        as(alice, () => {
          for (const mode of [R, W, X]) {
            if (mode === can) sys.access(`f${perm}`, mode)
            else fails('EACCES', () => sys.access(`f${perm}`, mode), `${perm.toString(8)} for ${mode}`)
          }
        })
      }
    },
    { needs: ['root'] },
  )
  add('F_OK asks for existence', 'POSIX access: F_OK', () => {
    file('f', '', 0)
    as(alice, () => {
      sys.access('f', F)
      fails('ENOENT', () => sys.access('missing', F))
    })
  })
  add('several at once', 'POSIX access: all must be granted', () => {
    file('f', '', 0o644)
    as(alice, () => {
      sys.access('f', R)
      fails('EACCES', () => sys.access('f', R | W))
    })
  })
  add(
    'root may read and write all',
    'access(2), capabilities(7): CAP_DAC_OVERRIDE',
    () => {
      file('f', '', 0)
      sys.access('f', R | W)
    },
    { needs: ['root'] },
  )
  add(
    'root executes what somebody may execute',
    'access(2): X_OK for a privileged process',
    () => {
      file('f', '', 0o644)
      fails('EACCES', () => sys.access('f', X))
      sys.chmod('f', 0o645)
      sys.access('f', X)
    },
    { needs: ['root'] },
  )
  add(
    'root searches each directory',
    'capabilities(7): CAP_DAC_READ_SEARCH',
    () => {
      sys.mkdir('d', 0)
      sys.access('d', R | W | X)
      file('d/f', 'x')
      equal(sys.stat('d/f').size, 1)
    },
    { needs: ['root'] },
  )
  add(
    'the groups of the process count',
    'POSIX access; credentials(7): supplementary groups',
    () => {
      file('f', '', 0o060)
      sys.chown('f', 0, staff)
      fails('EACCES', () => as(alice, () => sys.access('f', R)))
      as({ ...alice, groups: [1, staff] }, () => sys.access('f', R | W))
    },
    { needs: ['root'] },
  )
  add('AT_EACCESS and AT_SYMLINK_NOFOLLOW', 'faccessat(2)', () => {
    sys.symlink('missing', 'l')
    fails('ENOENT', () => sys.access('l', F))
    sys.access('l', F, AT.SYMLINK_NOFOLLOW)
    file('f', '', 0o600)
    fails('EACCES', () => as(alice, () => sys.access('f', R, AT.EACCESS)))
  })
  add('an impossible mode', 'access(2): EINVAL', () => {
    file('f')
    fails('EINVAL', () => sys.access('f', 8))
  })
})

export const statfs = cases('statfs', add => {
  add('sizes that fit together', 'statvfs(3)', () => {
    const { blockSize, blocks, blocksFree, blocksAvailable } = sys.statfs('.')
    ok(Number.isInteger(Math.log2(blockSize)) && blockSize >= 512, `${blockSize} is a power of two`)
    ok(blocks > 0 && blocksFree > 0, 'there is space')
    ok(blocks >= blocksFree && blocksFree >= blocksAvailable, `${blocks} >= ${blocksFree} >= ${blocksAvailable}`)
  })
  add('the longest name', 'statvfs(3): f_namemax', () => {
    equal(sys.statfs('.').nameMax, 255)
  })
  add('inodes that fit together', 'statvfs(3): f_files, f_ffree', () => {
    const { files, filesFree } = sys.statfs('.')
    ok(files >= filesFree && filesFree >= 0, `${files} >= ${filesFree}`)
  })
  add('of a file, of an open file, through a link', 'statfs(2): any file within the filesystem', () => {
    file('f')
    sys.symlink('f', 'l')
    const of = ({ type, blockSize, blocks }: { type: number; blockSize: number; blocks: number }): number[] => [
      type,
      blockSize,
      blocks,
    ]
    const here = of(sys.statfs('.'))
    equal([of(sys.statfs('f')), of(sys.fstatfs(sys.open('f'))), of(sys.statfs('l'))], [here, here, here])
  })
  add('a missing name', 'statfs(2): ENOENT', () => {
    fails('ENOENT', () => sys.statfs('missing'))
  })
  add('it is writable', 'statvfs(3): ST_RDONLY', () => {
    equal(sys.statfs('.').flags & 1, 0)
  })
  add('by anyone', 'statfs(2): search permission alone', () => {
    ok(as(alice, () => sys.statfs('.').blocks) > 0, 'blocks')
  })
})

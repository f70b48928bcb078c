import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { exists, file, fresh, list, pattern, text, whole } from '../kit/files.js'
import { AT, LOCK, O, S } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { shared } from '../kit/mapping.js'
import { sys } from '../kit/sys.js'
import { marks, marksOpen, past } from '../kit/time.js'
import { xattr } from '../kit/xattr.js'

export const unlink = cases('unlink', add => {
  for (const [what, make] of [
    ['a file', () => file('f')],
    ['a dangling symlink', () => sys.symlink('nowhere', 'f')],
    ['a fifo', () => sys.mknod('f', S.IFIFO | 0o600)],
    ['a socket', () => sys.mknod('f', S.IFSOCK | 0o600)],
  ] as const) {
    add(`${what} goes`, 'POSIX unlink: removes a link to a file', () => {
      make()
      sys.unlink('f')
      fails('ENOENT', () => sys.lstat('f'))
      equal(list(), [])
    })
  }
  add('a symlink goes and its target stays', 'unlink(2): the link is removed', () => {
    file('target', 'kept')
    sys.symlink('target', 'l')
    sys.unlink('l')
    equal(list(), ['target'])
    equal(text('target'), 'kept')
  })
  add('one of two links', 'POSIX unlink: decrements the link count', () => {
    file('a', 'x')
    sys.link('a', 'b')
    sys.unlink('a')
    equal([text('b'), sys.stat('b').nlink], ['x', 1])
  })
  add(
    'the other link has a new status change time',
    'POSIX unlink: ctime of the file if its link count is not 0',
    () => {
      file('a')
      sys.link('a', 'b')
      equal(
        marks('b', () => sys.unlink('a')),
        'ctime',
      )
    },
  )
  add('the directory is marked', 'POSIX unlink: mtime and ctime of the parent directory', () => {
    sys.mkdir('d')
    file('d/f')
    equal(
      marks('d', () => sys.unlink('d/f')),
      'mtime ctime',
    )
  })
  add('a missing name', 'unlink(2): ENOENT', () => {
    fails('ENOENT', () => sys.unlink('missing'))
    fails('ENOENT', () => sys.unlink(''))
    file('f')
    sys.unlink('f')
    fails('ENOENT', () => sys.unlink('f'))
  })
  add('a directory', 'unlink(2): EISDIR (POSIX: EPERM)', () => {
    sys.mkdir('d')
    fails('EISDIR', () => sys.unlink('d'))
    equal(list(), ['d'])
  })
  add('a trailing slash', 'POSIX pathname resolution: ENOTDIR', () => {
    file('f')
    sys.mkdir('d')
    sys.symlink('d', 'l')
    fails('ENOTDIR', () => sys.unlink('f/'))
    fails(['ENOTDIR', 'EISDIR'], () => sys.unlink('l/'))
    equal(list(), ['d', 'f', 'l'])
  })
  add('AT_REMOVEDIR on a file', 'unlinkat(2): ENOTDIR', () => {
    file('f')
    fails('ENOTDIR', () => sys.unlinkat(AT.FDCWD, 'f', AT.REMOVEDIR))
  })
  add('an unknown flag', 'unlinkat(2): EINVAL', () => {
    file('f')
    fails('EINVAL', () => sys.unlinkat(AT.FDCWD, 'f', 0x1000000))
    ok(exists('f'), 'the file stays')
  })
  add('the directory is not writable', 'unlink(2): EACCES', () => {
    sys.mkdir('d')
    file('d/f', '', 0o666)
    fails('EACCES', () => as(alice, () => sys.unlink('d/f')))
  })
  add(
    'a file of another, in a directory of one’s own',
    'POSIX unlink: write permission of the directory counts',
    () => {
      sys.mkdir('d')
      file('d/f', '', 0)
      sys.chown('d', alice.uid, alice.gid)
      as(alice, () => sys.unlink('d/f'))
      equal(list('d'), [])
    },
    { needs: ['root'] },
  )
})

export const unlinkedOpen = cases('unlinked-open', add => {
  const gone = (content: string | Buffer = 'content'): number => {
    const fd = fresh('f', content)
    sys.unlink('f')
    return fd
  }
  add('has no link and is readable', 'POSIX unlink: the space is freed at the last close', () => {
    const fd = gone()
    equal([sys.fstat(fd).nlink, sys.fstat(fd).size, whole(fd).toString()], [0, 7, 'content'])
  })
  add('is writable and grows', 'POSIX unlink: the file remains accessible while open', () => {
    const fd = gone()
    const data = pattern(300_000)
    sys.pwrite(fd, data, 5)
    equal(sys.fstat(fd).size, 300_005)
    equal(whole(fd), Buffer.concat([Buffer.from('conte'), data]))
  })
  add('can be truncated', 'ftruncate(2): an open descriptor', () => {
    const fd = gone()
    sys.ftruncate(fd, 3)
    equal(whole(fd).toString(), 'con')
    sys.ftruncate(fd, 5)
    equal(whole(fd), Buffer.from('con\0\0'))
  })
  add('can be changed: mode, owner, times', 'fchmod(2), fchown(2), futimens(3): an open descriptor', () => {
    const fd = gone()
    sys.fchmod(fd, 0o600)
    sys.futimens(fd, past, past)
    const { perm, mtime } = sys.fstat(fd)
    equal([perm, mtime], [0o600, past])
  })
  add(
    'can change its owner',
    'fchown(2): an open descriptor',
    () => {
      const fd = gone()
      sys.fchown(fd, alice.uid, alice.gid)
      equal([sys.fstat(fd).uid, sys.fstat(fd).gid], [alice.uid, alice.gid])
    },
    { needs: ['root'] },
  )
  add('takes extended attributes', 'fsetxattr(2): an open descriptor', () => {
    const fd = gone()
    xattr.fset(fd, 'user.a', 'value')
    equal(xattr.fget(fd, 'user.a').toString(), 'value')
    equal(xattr.flist(fd), ['user.a'])
  })
  add('has times that are marked', 'POSIX write: mtime and ctime of the file', () => {
    const fd = gone()
    equal(
      marksOpen(fd, () => sys.pwrite(fd, 'x', 0)),
      'mtime ctime',
    )
  })
  add('can be synced', 'fsync(2)', () => {
    const fd = gone()
    sys.pwrite(fd, 'more', 7)
    sys.fsync(fd)
    sys.fdatasync(fd)
    equal(whole(fd).toString(), 'contentmore')
  })
  add('does not meet a new file of its name', 'POSIX open: a new file', () => {
    const fd = gone()
    file('f', 'new')
    sys.pwrite(fd, 'OLD', 0)
    equal([text('f'), whole(fd).toString()], ['new', 'OLDtent'])
    ok(sys.fstat(fd).ino !== sys.stat('f').ino, 'the inode number is not used twice')
  })
  add('keeps its mapping', 'mmap(2): the mapping is not affected by unlink', () => {
    const fd = gone(Buffer.alloc(4096, 'a'))
    const map = shared(fd, 4096)
    sys.close(fd)
    map.store(10, 'mapped')
    equal(map.load(8, 10).toString(), 'aamappedaa')
  })
  add('is not linked again by its descriptor', 'link(2): ENOENT: the link count is 0', () => {
    const fd = gone()
    fails('ENOENT', () => sys.linkat(AT.FDCWD, `/proc/self/fd/${fd}`, AT.FDCWD, 'again', AT.SYMLINK_FOLLOW))
  })
  add('can be locked', 'flock(2): locks are of the open file', () => {
    const fd = gone()
    sys.flock(fd, LOCK.EX)
    const again = sys.open(`/proc/self/fd/${fd}`)
    fails('EAGAIN', () => sys.flock(again, LOCK.EX | LOCK.NB))
  })
  add('can be preallocated and have holes', 'fallocate(2)', () => {
    const fd = gone(pattern(20_000))
    sys.fallocate(fd, 3, 4096, 4096)
    sys.fallocate(fd, 0, 0, 40_000)
    equal(sys.fstat(fd).size, 40_000)
    equal(sys.pread(fd, 4096, 4096), Buffer.alloc(4096))
  })
  add('appends', 'open(2): O_APPEND', () => {
    const fd = fresh('f', 'one', O.APPEND)
    sys.unlink('f')
    sys.write(fd, 'two')
    equal(whole(fd).toString(), 'onetwo')
  })
  add('outlives its directory', 'POSIX unlink and rmdir', () => {
    sys.mkdir('d')
    const fd = fresh('d/f', 'content')
    sys.unlink('d/f')
    sys.rmdir('d')
    sys.pwrite(fd, 'more', 7)
    equal(whole(fd).toString(), 'contentmore')
  })
  add('is seen by each of several opens', 'POSIX unlink: until all references are closed', () => {
    const first = fresh('f', 'content')
    const second = sys.open('f', O.RDWR)
    sys.unlink('f')
    sys.close(first)
    sys.pwrite(second, 'C', 0)
    equal(whole(second).toString(), 'Content')
  })
})

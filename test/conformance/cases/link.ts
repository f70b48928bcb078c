import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { exists, file, fresh, list, text } from '../kit/files.js'
import { AT, O, S } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { marks } from '../kit/time.js'

export const link = cases('link', add => {
  add('two names of one file', 'POSIX link: the new entry refers to the same file', () => {
    file('a', 'x')
    sys.link('a', 'b')
    const [a, b] = [sys.stat('a'), sys.stat('b')]
    equal(a, b)
    equal(a.nlink, 2)
  })
  add('what is written through one is read through the other', 'POSIX link', () => {
    const fd = fresh('a', 'one')
    sys.link('a', 'b')
    equal(text('b'), 'one')
    sys.pwrite(fd, 'two', 3)
    equal([text('b'), sys.stat('b').size], ['onetwo', 6])
    sys.truncate('b', 1)
    equal(text('a'), 'o')
  })
  add('attributes are shared', 'POSIX link: one file', () => {
    file('a')
    sys.link('a', 'b')
    sys.chmod('b', 0o751)
    sys.utimens('a', 1n, 2n)
    equal([sys.stat('a').perm, sys.stat('b').mtime], [0o751, 2n])
  })
  for (const [what, make] of [
    ['a file', () => file('b', 'kept')],
    ['a directory', () => sys.mkdir('b')],
    ['a dangling symlink', () => sys.symlink('nowhere', 'b')],
    ['the same file', () => sys.link('a', 'b')],
  ] as const) {
    add(`${what} has the new name`, 'link(2): EEXIST', () => {
      file('a')
      make()
      const { nlink } = sys.stat('a')
      fails('EEXIST', () => sys.link('a', 'b'))
      equal(sys.stat('a').nlink, nlink)
      ok(!exists('nowhere'), 'a dangling link is not followed')
    })
  }
  add('a missing source', 'link(2): ENOENT', () => {
    fails('ENOENT', () => sys.link('missing', 'b'))
    file('a')
    fails('ENOENT', () => sys.link('a', ''))
    fails('ENOENT', () => sys.link('', 'b'))
  })
  add('a missing directory of the new name', 'link(2): ENOENT', () => {
    file('a')
    fails('ENOENT', () => sys.link('a', 'missing/b'))
    equal(sys.stat('a').nlink, 1)
  })
  add('a directory', 'link(2): EPERM: oldpath is a directory', () => {
    sys.mkdir('d')
    fails('EPERM', () => sys.link('d', 'b'))
    equal(sys.stat('d').nlink, 2)
  })
  add('a symlink is linked itself', 'link(2): oldpath is not dereferenced', () => {
    file('target')
    sys.symlink('target', 'l')
    sys.link('l', 'b')
    equal([sys.lstat('b').type, sys.lstat('b').ino, sys.lstat('l').nlink], [S.IFLNK, sys.lstat('l').ino, 2])
    equal(sys.stat('target').nlink, 1)
  })
  add('AT_SYMLINK_FOLLOW links the target', 'linkat(2): AT_SYMLINK_FOLLOW', () => {
    file('target')
    sys.symlink('target', 'l')
    sys.linkat(AT.FDCWD, 'l', AT.FDCWD, 'b', AT.SYMLINK_FOLLOW)
    equal(sys.lstat('b').ino, sys.stat('target').ino)
  })
  add(
    'AT_EMPTY_PATH links an open file',
    'linkat(2): AT_EMPTY_PATH',
    () => {
      const fd = fresh('a', 'x')
      sys.linkat(fd, '', AT.FDCWD, 'b', AT.EMPTY_PATH)
      equal([text('b'), sys.fstat(fd).nlink], ['x', 2])
    },
    { needs: ['root'] },
  )
  add('an unknown flag', 'linkat(2): EINVAL', () => {
    file('a')
    fails('EINVAL', () => sys.linkat(AT.FDCWD, 'a', AT.FDCWD, 'b', 0x80))
  })
  for (const [what, type] of [
    ['a fifo', S.IFIFO],
    ['a socket', S.IFSOCK],
  ] as const) {
    add(`${what} has two names`, 'POSIX link: any file that is no directory', () => {
      sys.mknod('a', type | 0o600)
      sys.link('a', 'b')
      equal([sys.lstat('b').type, sys.lstat('b').nlink], [type, 2])
      sys.unlink('a')
      equal(sys.lstat('b').nlink, 1)
    })
  }
  add(
    'the file and the directory are marked',
    'POSIX link: ctime of the file, mtime and ctime of the directory',
    () => {
      file('a')
      sys.mkdir('d')
      equal(
        marks('a', () =>
          equal(
            marks('d', () => sys.link('a', 'd/b')),
            'mtime ctime',
            'directory',
          ),
        ),
        'ctime',
        'file',
      )
    },
  )
  add('names in several directories', 'POSIX link', () => {
    sys.mkdir('d')
    sys.mkdir('e')
    file('d/a', 'x')
    sys.link('d/a', 'e/b')
    sys.unlink('d/a')
    equal([text('e/b'), sys.stat('e/b').nlink], ['x', 1])
  })
  add(
    'a thousand links',
    'link(2): EMLINK comes far later',
    () => {
      file('n')
      for (let i = 1; i < 1000; i++) sys.link('n', `n${i}`)
      equal(sys.stat('n').nlink, 1000)
      for (let i = 1; i < 1000; i += 2) sys.unlink(`n${i}`)
      equal(sys.stat('n').nlink, 500)
    },
    { needs: ['large'] },
  )
  add('sixty links come and go', 'stat(3type): st_nlink', () => {
    file('n')
    for (let i = 1; i < 60; i++) sys.link(i % 2 ? 'n' : `n${i - 1}`, `n${i}`)
    equal(sys.stat('n').nlink, 60)
    for (let i = 1; i < 60; i += 2) sys.unlink(`n${i}`)
    equal([sys.stat('n').nlink, list().length], [30, 30])
  })
  add('a trailing slash', 'POSIX pathname resolution: ENOTDIR of a file', () => {
    file('a')
    fails('ENOTDIR', () => sys.link('a/', 'b'))
    fails(['ENOENT', 'ENOTDIR'], () => sys.link('a', 'b/'))
    equal(list(), ['a'])
  })
  add('another file system', 'link(2): EXDEV', () => {
    fails('EXDEV', () => sys.link('/proc/self/status', 'b'))
  })
  add('the directory is not writable', 'link(2): EACCES', () => {
    sys.mkdir('d')
    as(alice, () => {
      file('a')
      fails('EACCES', () => sys.link('a', 'd/b'))
    })
  })
  add('a new link after the last open name went', 'link(2): a name by name, not by inode', () => {
    file('a', 'x')
    sys.link('a', 'b')
    sys.unlink('a')
    sys.link('b', 'a')
    sys.unlink('b')
    equal([list(), text('a')].flat(), ['a', 'x'])
  })
  add('links keep an open file alive', 'POSIX link: fstat of the descriptor', () => {
    const fd = sys.open('a', O.CREAT | O.RDWR)
    sys.link('a', 'b')
    equal(sys.fstat(fd).nlink, 2)
    sys.unlink('a')
    equal(sys.fstat(fd).nlink, 1)
    sys.unlink('b')
    equal(sys.fstat(fd).nlink, 0)
  })
  add(
    'protected_hardlinks: a file that one may not write',
    'proc_sys_fs(5): protected_hardlinks: EPERM',
    () => {
      file('a', '', 0o644)
      fails('EPERM', () => as(alice, () => sys.link('a', 'b')))
      sys.chmod('a', 0o666)
      as(alice, () => sys.link('a', 'b'))
    },
    { needs: ['protected hardlinks'] },
  )
})

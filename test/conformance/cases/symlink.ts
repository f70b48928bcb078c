import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { exists, file, list, text } from '../kit/files.js'
import { AT, O, S } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { isRecent, marks, past } from '../kit/time.js'

export const symlink = cases('symlink', add => {
  const target = (path: string): string => sys.readlink(path).toString('latin1')

  add('a link with its target', 'POSIX symlink; readlink gives the contents', () => {
    sys.symlink('some/where', 'l')
    const { type, perm, size, nlink } = sys.lstat('l')
    equal({ type, perm, size, nlink }, { type: S.IFLNK, perm: 0o777, size: 10, nlink: 1 })
    equal(target('l'), 'some/where')
  })
  for (const bytes of [1, 59, 60, 255, 1023, 4095]) {
    add(`a target of ${bytes} bytes`, 'symlink(2): up to PATH_MAX - 1 bytes', () => {
      const long = Array.from({ length: bytes }, (_, i) => (i % 100 === 99 ? '/' : 'x')).join('')
      sys.symlink(long, 'l')
      equal(target('l'), long)
      equal(sys.lstat('l').size, bytes)
    })
  }
  add('a target of PATH_MAX bytes', 'symlink(2): ENAMETOOLONG', () => {
    fails('ENAMETOOLONG', () => sys.symlink('x'.repeat(4096), 'l'))
    equal(list(), [])
  })
  add('an empty target', 'symlink(2): ENOENT: target is the empty string', () => {
    fails('ENOENT', () => sys.symlink('', 'l'))
  })
  add('a target of any bytes', 'POSIX symlink: the string is not checked', () => {
    const odd = Buffer.from(Array.from({ length: 255 }, (_, i) => i + 1))
    sys.symlink(odd, 'l')
    equal(sys.readlink('l'), odd)
  })
  for (const [what, make] of [
    ['a file', () => file('l')],
    ['a directory', () => sys.mkdir('l')],
    ['a dangling symlink', () => sys.symlink('nowhere', 'l')],
  ] as const) {
    add(`${what} has the name`, 'symlink(2): EEXIST', () => {
      make()
      fails('EEXIST', () => sys.symlink('x', 'l'))
    })
  }
  add('a missing directory', 'symlink(2): ENOENT', () => {
    fails('ENOENT', () => sys.symlink('x', 'missing/l'))
    fails('ENOENT', () => sys.symlink('x', ''))
  })
  add(
    'the owner is who made it, the directory is marked',
    'POSIX symlink: mtime and ctime of the parent directory',
    () => {
      sys.mkdir('d', 0o777)
      equal(
        marks('d', () => as(alice, () => sys.symlink('x', 'd/l'))),
        'mtime ctime',
      )
      const { uid, gid, mtime, atime } = sys.lstat('d/l')
      equal([uid, gid, atime], [alice.uid, alice.gid, mtime])
      isRecent(mtime, 'mtime')
    },
  )
  add('a relative target starts at the link', 'path_resolution(7)', () => {
    sys.mkdir('d')
    file('d/f', 'in d')
    file('f', 'above')
    sys.symlink('f', 'd/l')
    sys.symlink('../f', 'd/up')
    equal([text('d/l'), text('d/up')], ['in d', 'above'])
  })
  add('a link in the middle of a path', 'path_resolution(7)', () => {
    sys.mkdir('d')
    sys.mkdir('d/e')
    sys.symlink('d/e', 'l')
    file('l/f', 'x')
    equal(text('d/e/f'), 'x')
    equal(sys.stat('l/..').ino, sys.stat('d').ino)
  })
  add('a chain of forty links', 'path_resolution(7): at most 40 links', () => {
    file('n0', 'end')
    for (let i = 1; i <= 41; i++) sys.symlink(`n${i - 1}`, `n${i}`)
    equal(text('n40'), 'end')
    fails('ELOOP', () => sys.open('n41'))
  })
  add('a loop', 'path_resolution(7): ELOOP', () => {
    sys.symlink('b', 'a')
    sys.symlink('a', 'b')
    sys.symlink('self', 'self')
    for (const name of ['a', 'self', 'self/x']) fails('ELOOP', () => sys.stat(name))
    fails('ELOOP', () => sys.open('a', O.CREAT | O.WRONLY))
    equal(sys.lstat('a').type, S.IFLNK)
  })
  add('a dangling link', 'path_resolution(7): ENOENT', () => {
    sys.symlink('nowhere', 'l')
    fails('ENOENT', () => sys.stat('l'))
    fails('ENOENT', () => sys.open('l'))
    file('nowhere', 'now')
    equal(text('l'), 'now')
  })
  add(
    'a link to a link to a directory, with slashes',
    'POSIX pathname resolution: a trailing slash follows the link',
    () => {
      sys.mkdir('d')
      sys.symlink('d/', 'l')
      sys.symlink('l', 'm')
      equal(sys.lstat('m/').type, S.IFDIR)
      equal(sys.lstat('m').type, S.IFLNK)
    },
  )
  add('readlink of what is no link', 'readlink(2): EINVAL', () => {
    file('f')
    fails('EINVAL', () => sys.readlink('f'))
    fails('EINVAL', () => sys.readlink('.'))
    fails('ENOENT', () => sys.readlink('missing'))
  })
  add('readlink into a small buffer cuts', 'readlink(2): silently truncates', () => {
    sys.symlink('abcdef', 'l')
    equal(sys.readlink('l', 3).toString(), 'abc')
    equal(sys.readlink('l', 6).toString(), 'abcdef')
  })
  add('readlink into no buffer', 'readlink(2): EINVAL: bufsiz is not positive', () => {
    sys.symlink('abcdef', 'l')
    fails('EINVAL', () => sys.readlink('l', 0))
  })
  add('a link that was replaced', 'rename(2): atomic replacement of a link', () => {
    sys.symlink('one', 'l')
    equal(target('l'), 'one')
    sys.symlink('two', 'new')
    sys.rename('new', 'l')
    equal(target('l'), 'two')
    sys.unlink('l')
    sys.symlink('three', 'l')
    equal(target('l'), 'three')
  })
  add(
    'the owner of the link is changed, not of the target',
    'lchown(2)',
    () => {
      file('f')
      sys.symlink('f', 'l')
      sys.lchown('l', 7, 8)
      equal([sys.lstat('l').uid, sys.lstat('l').gid, sys.stat('f').uid], [7, 8, 0])
    },
    { needs: ['root'] },
  )
  add('the times of the link are changed, not of the target', 'utimensat(2): AT_SYMLINK_NOFOLLOW', () => {
    file('f')
    sys.symlink('f', 'l')
    sys.utimens('l', past, past + 1n, AT.SYMLINK_NOFOLLOW)
    equal([sys.lstat('l').atime, sys.lstat('l').mtime], [past, past + 1n])
    isRecent(sys.stat('f').mtime, 'mtime of the target')
  })
  add('the mode of a link is fixed', 'fchmodat(2): AT_SYMLINK_NOFOLLOW: EOPNOTSUPP', () => {
    file('f')
    sys.symlink('f', 'l')
    fails('EOPNOTSUPP', () => sys.fchmodat(AT.FDCWD, 'l', 0o600, AT.SYMLINK_NOFOLLOW))
    equal(sys.lstat('l').perm, 0o777)
  })
  add('chmod, chown, truncate and utimes follow', 'POSIX: a final symbolic link is followed', () => {
    file('f', 'content')
    sys.symlink('f', 'l')
    sys.chmod('l', 0o600)
    sys.truncate('l', 3)
    sys.utimens('l', past, past)
    const { perm, size, mtime } = sys.stat('f')
    equal([perm, size, mtime], [0o600, 3, past])
    equal(target('l'), 'f')
  })
  add('the umask does not touch a link', 'symlink(7): permissions of a link are not used', () => {
    process.umask(0o077)
    sys.symlink('x', 'l')
    equal(sys.lstat('l').perm, 0o777)
  })
  add('no permission is needed of the link', 'symlink(7): ownership of the link is ignored when it is followed', () => {
    file('f', 'x', 0o644)
    sys.symlink('f', 'l')
    equal(
      as(alice, () => [text('l'), target('l')]),
      ['x', 'f'],
    )
  })
  add('O_CREAT below a dangling link to a directory', 'path_resolution(7): ENOENT', () => {
    sys.symlink('nowhere', 'l')
    fails('ENOENT', () => sys.open('l/f', O.CREAT | O.WRONLY))
    equal(exists('nowhere'), false)
  })
})

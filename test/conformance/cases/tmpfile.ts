import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { defaultAcl, encodeAcl } from '../kit/acl.js'
import { file, list, pattern, text, whole } from '../kit/files.js'
import { AT, O, S } from '../kit/flags.js'
import { alice, as, staff } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { isRecent, marks } from '../kit/time.js'
import { xattr } from '../kit/xattr.js'

export const tmpfile = cases('tmpfile', add => {
  const make = (flags = 0, mode = 0o600, directory = '.'): number =>
    sys.open(directory, O.TMPFILE | O.RDWR | flags, mode)
  const name = (fd: number, path: string): number =>
    sys.linkat(AT.FDCWD, `/proc/self/fd/${fd}`, AT.FDCWD, path, AT.SYMLINK_FOLLOW)

  add('a file without a name', 'open(2): O_TMPFILE: an unnamed temporary regular file', () => {
    const fd = make(0, 0o640)
    const { type, perm, nlink, size } = sys.fstat(fd)
    equal([type, perm, nlink, size], [S.IFREG, 0o640, 0, 0])
    equal(list(), [])
  })
  add('is written and read', 'open(2): O_TMPFILE', () => {
    const fd = make()
    const data = pattern(200_000)
    sys.write(fd, data)
    equal(whole(fd), data)
    sys.ftruncate(fd, 5)
    equal(whole(fd), data.subarray(0, 5))
  })
  add('does not mark the directory', 'open(2): O_TMPFILE: no entry is made', () => {
    sys.mkdir('d')
    equal(
      marks('d', () => make(0, 0o600, 'd')),
      '',
    )
  })
  add('gets a name', 'linkat(2): /proc/self/fd with AT_SYMLINK_FOLLOW', () => {
    const fd = make()
    sys.write(fd, 'content')
    name(fd, 'named')
    equal([text('named'), sys.fstat(fd).nlink, sys.stat('named').ino], ['content', 1, sys.fstat(fd).ino])
    sys.write(fd, '+more')
    sys.close(fd)
    equal([text('named'), list()].flat(), ['content+more', 'named'])
  })
  add(
    'gets a name by its descriptor',
    'linkat(2): AT_EMPTY_PATH',
    () => {
      const fd = make()
      sys.linkat(fd, '', AT.FDCWD, 'named', AT.EMPTY_PATH)
      equal(sys.stat('named').nlink, 1)
    },
    { needs: ['root'] },
  )
  add('gets a name in another directory, and a second one', 'linkat(2)', () => {
    sys.mkdir('d')
    const fd = make()
    name(fd, 'd/one')
    name(fd, 'two')
    equal([sys.fstat(fd).nlink, sys.stat('d/one').ino], [2, sys.stat('two').ino])
  })
  add('O_EXCL never gets a name', 'open(2): O_TMPFILE with O_EXCL: ENOENT', () => {
    const fd = make(O.EXCL)
    fails('ENOENT', () => name(fd, 'named'))
    equal(list(), [])
  })
  add('a name that exists', 'linkat(2): EEXIST', () => {
    file('taken', 'kept')
    const fd = make()
    fails('EEXIST', () => name(fd, 'taken'))
    equal([text('taken'), sys.fstat(fd).nlink].join(' '), 'kept 0')
  })
  add('named, unlinked: never again', 'link(2): ENOENT: the link count is 0', () => {
    const fd = make()
    name(fd, 'named')
    sys.unlink('named')
    equal(sys.fstat(fd).nlink, 0)
    fails('ENOENT', () => name(fd, 'again'))
  })
  add('the umask is taken off, the owner is who made it', 'open(2): mode, owner', () => {
    process.umask(0o027)
    const fd = as(alice, () => make(0, 0o666))
    const { perm, uid, gid, mtime } = sys.fstat(fd)
    equal([perm, uid, gid], [0o640, alice.uid, alice.gid])
    isRecent(mtime, 'mtime')
  })
  add('for reading alone', 'open(2): O_TMPFILE: EINVAL without O_WRONLY or O_RDWR', () => {
    fails('EINVAL', () => sys.open('.', O.TMPFILE | O.RDONLY))
  })
  add('in what is no directory', 'open(2): ENOTDIR, ENOENT', () => {
    file('f')
    fails('ENOTDIR', () => make(0, 0o600, 'f'))
    fails('ENOENT', () => make(0, 0o600, 'missing'))
  })
  add('in a directory that is not writable', 'open(2): EACCES', () => {
    sys.mkdir('d')
    fails('EACCES', () => as(alice, () => make(0, 0o600, 'd')))
  })
  add(
    'in a set-gid directory',
    'open(2): the group of the directory',
    () => {
      sys.mkdir('d')
      sys.chown('d', 0, staff)
      sys.chmod('d', 0o2777)
      equal(sys.fstat(as(alice, () => make(0, 0o600, 'd'))).gid, staff)
    },
    { needs: ['root'] },
  )
  add('under a default list', 'acl(5): object creation', () => {
    sys.mkdir('d')
    xattr.set('d', defaultAcl, encodeAcl({ user: 7, group: 4, other: 0 }))
    equal(sys.fstat(make(0, 0o666, 'd')).perm, 0o640)
  })
  add('takes attributes that its name then has', 'fsetxattr(2), fchmod(2), futimens(3)', () => {
    const fd = make()
    xattr.fset(fd, 'user.a', 'x')
    sys.fchmod(fd, 0o604)
    sys.futimens(fd, 5n, 6n)
    name(fd, 'named')
    equal([xattr.get('named', 'user.a').toString(), sys.stat('named').perm, sys.stat('named').mtime], ['x', 0o604, 6n])
  })
  add('two are two files', 'open(2): O_TMPFILE', () => {
    const [a, b] = [make(), make()]
    sys.write(a, 'one')
    sys.write(b, 'two')
    ok(sys.fstat(a).ino !== sys.fstat(b).ino, 'inode numbers differ')
    equal([whole(a).toString(), whole(b).toString()], ['one', 'two'])
  })
  add('is opened again by its descriptor', 'proc(5): /proc/pid/fd', () => {
    const fd = make()
    sys.write(fd, 'content')
    equal(whole(sys.open(`/proc/self/fd/${fd}`)).toString(), 'content')
  })
})

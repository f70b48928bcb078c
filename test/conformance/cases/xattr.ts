import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { file, fresh, pattern } from '../kit/files.js'
import { O, S, XATTR } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { marks } from '../kit/time.js'
import { xattr } from '../kit/xattr.js'

const root = { needs: ['root'] as const }

export const xattrs = cases('xattr', add => {
  const value = (name = 'user.a', path = 'f'): string => xattr.get(path, name).toString()

  add('a value comes back', 'setxattr(2), getxattr(2)', () => {
    file('f')
    xattr.set('f', 'user.a', 'value')
    equal(value(), 'value')
  })
  add('a value is replaced', 'setxattr(2): flags 0', () => {
    file('f')
    for (const one of ['first', 'a second and longer', '3']) {
      xattr.set('f', 'user.a', one)
      equal(value(), one)
    }
  })
  add('an empty value', 'xattr(7): a value may be of zero length', () => {
    file('f')
    xattr.set('f', 'user.a', '')
    equal([value(), xattr.list('f')], ['', ['user.a']])
  })
  add('a value of any bytes', 'xattr(7)', () => {
    file('f')
    const bytes = pattern(1000)
    xattr.set('f', 'user.a', bytes)
    equal(xattr.get('f', 'user.a'), bytes)
  })
  add('XATTR_CREATE', 'setxattr(2): EEXIST', () => {
    file('f')
    xattr.set('f', 'user.a', 'first', XATTR.CREATE)
    fails('EEXIST', () => xattr.set('f', 'user.a', 'second', XATTR.CREATE))
    equal(value(), 'first')
  })
  add('XATTR_REPLACE', 'setxattr(2): ENODATA', () => {
    file('f')
    fails('ENODATA', () => xattr.set('f', 'user.a', 'x', XATTR.REPLACE))
    xattr.set('f', 'user.a', 'first')
    xattr.set('f', 'user.a', 'second', XATTR.REPLACE)
    equal(value(), 'second')
  })
  add('an unknown flag', 'setxattr(2): EINVAL', () => {
    file('f')
    fails('EINVAL', () => xattr.set('f', 'user.a', 'x', 0x40))
  })
  add('a missing attribute', 'getxattr(2), removexattr(2): ENODATA', () => {
    file('f')
    fails('ENODATA', () => xattr.get('f', 'user.a'))
    fails('ENODATA', () => xattr.remove('f', 'user.a'))
  })
  add('the length is asked for', 'getxattr(2): size 0', () => {
    file('f')
    xattr.set('f', 'user.a', 'seven77')
    equal([xattr.getInto('f', 'user.a', 0), xattr.getInto('f', 'user.a', 7)], [7, 7])
  })
  add('a buffer too small', 'getxattr(2), listxattr(2): ERANGE', () => {
    file('f')
    xattr.set('f', 'user.a', 'seven77')
    fails('ERANGE', () => xattr.getInto('f', 'user.a', 6))
    fails('ERANGE', () => xattr.listInto('f', 3))
  })
  add('the list, its length', 'listxattr(2)', () => {
    file('f')
    equal([xattr.list('f'), xattr.listInto('f', 0)], [[], 0])
    for (const name of ['user.b', 'user.a', 'user.c']) xattr.set('f', name, 'x')
    equal([xattr.list('f'), xattr.listInto('f', 0)], [['user.a', 'user.b', 'user.c'], 21])
    xattr.remove('f', 'user.b')
    equal(xattr.list('f'), ['user.a', 'user.c'])
  })
  add('forty attributes', 'xattr(7)', () => {
    file('f')
    const names = Array.from({ length: 40 }, (_, i) => `user.attribute-${10 + i}`)
    for (const name of names) xattr.set('f', name, name.toUpperCase())
    equal(xattr.list('f'), names)
    for (const name of names) equal(value(name), name.toUpperCase())
  })
  add('a name of 255 bytes', 'xattr(7): XATTR_NAME_MAX', () => {
    file('f')
    const name = `user.${'n'.repeat(250)}`
    xattr.set('f', name, 'x')
    equal([value(name), xattr.list('f')], ['x', [name]])
    fails('ERANGE', () => xattr.set('f', `${name}n`, 'x'))
  })
  add('an empty name', 'setxattr(2): ERANGE; EINVAL without a name after the prefix', () => {
    file('f')
    fails('ERANGE', () => xattr.set('f', '', 'x'))
    fails('EINVAL', () => xattr.set('f', 'user.', 'x'))
  })
  add('a namespace that is none', 'setxattr(2): EOPNOTSUPP', () => {
    file('f')
    for (const name of ['plain', 'foo.bar', 'userx.a', 'system.foo'])
      fails('EOPNOTSUPP', () => xattr.set('f', name, 'x'), name)
    equal(xattr.list('f'), [])
  })
  add('names differ by case', 'xattr(7): a null-terminated string', () => {
    file('f')
    xattr.set('f', 'user.a', 'small')
    xattr.set('f', 'user.A', 'large')
    equal([value('user.a'), value('user.A')], ['small', 'large'])
  })
  add('a value of 3000 bytes', 'xattr(7): ext4: up to a block', () => {
    file('f')
    xattr.set('f', 'user.a', pattern(3000))
    equal(xattr.get('f', 'user.a'), pattern(3000))
  })
  add('a value of 64 KiB', 'xattr(7): XATTR_SIZE_MAX', () => {
    file('f')
    xattr.set('f', 'user.a', pattern(65_536))
    equal(xattr.get('f', 'user.a'), pattern(65_536))
  })
  add('a value of more than 64 KiB', 'setxattr(2): E2BIG: XATTR_SIZE_MAX', () => {
    file('f')
    fails('E2BIG', () => xattr.set('f', 'user.a', pattern(65_537)))
  })
  add('of a directory', 'xattr(7): user attributes of regular files and directories', () => {
    sys.mkdir('d')
    xattr.set('d', 'user.a', 'x')
    file('d/f')
    equal([value('user.a', 'd'), xattr.list('d/f')], ['x', []])
  })
  for (const [what, make] of [
    ['a fifo', () => sys.mknod('n', S.IFIFO | 0o666)],
    ['a socket', () => sys.mknod('n', S.IFSOCK | 0o666)],
  ] as const) {
    add(`${what} has no user attributes`, 'xattr(7): EPERM', () => {
      make()
      fails('EPERM', () => xattr.set('n', 'user.a', 'x'))
    })
  }
  add('a symlink has no user attributes', 'xattr(7): EPERM', () => {
    sys.symlink('nowhere', 'l')
    fails('EPERM', () => xattr.lset('l', 'user.a', 'x'))
  })
  add('a symlink is followed', 'setxattr(2); lsetxattr(2) does not follow', () => {
    file('f')
    sys.symlink('f', 'l')
    xattr.set('l', 'user.a', 'x')
    equal(value(), 'x')
  })
  add(
    'trusted attributes of a symlink',
    'xattr(7): trusted attributes',
    () => {
      sys.symlink('nowhere', 'l')
      xattr.lset('l', 'trusted.a', 'of the link')
      equal(xattr.lget('l', 'trusted.a').toString(), 'of the link')
    },
    root,
  )
  add('through a descriptor', 'fsetxattr(2), fgetxattr(2), flistxattr(2), fremovexattr(2)', () => {
    const fd = fresh('f')
    xattr.fset(fd, 'user.a', 'x')
    equal([xattr.fget(fd, 'user.a').toString(), xattr.flist(fd)], ['x', ['user.a']])
    xattr.fremove(fd, 'user.a')
    equal(xattr.flist(fd), [])
  })
  add('a descriptor for reading is enough', 'fsetxattr(2): permission of the inode', () => {
    file('f')
    xattr.fset(sys.open('f'), 'user.a', 'x')
    equal(value(), 'x')
  })
  add('a reference is not', 'open(2): O_PATH: EBADF', () => {
    file('f')
    fails('EBADF', () => xattr.fset(sys.open('f', O.PATH), 'user.a', 'x'))
  })
  add('who may not write may not set', 'xattr(7): user attributes follow the permission bits: EACCES', () => {
    file('f', '', 0o644)
    xattr.set('f', 'user.a', 'x')
    as(alice, () => {
      fails('EACCES', () => xattr.set('f', 'user.a', 'y'))
      fails('EACCES', () => xattr.remove('f', 'user.a'))
      equal(value(), 'x')
    })
  })
  add('who may not read may not get', 'xattr(7): EACCES', () => {
    file('f', '', 0o600)
    xattr.set('f', 'user.a', 'x')
    fails('EACCES', () => as(alice, () => xattr.get('f', 'user.a')))
  })
  add('in a sticky directory the owner sets', 'xattr(7): directories with the sticky bit: EPERM', () => {
    sys.mkdir('d')
    sys.chmod('d', 0o1777)
    fails('EPERM', () => as(alice, () => xattr.set('d', 'user.a', 'x')))
    xattr.set('d', 'user.a', 'x')
  })
  add(
    'trusted attributes are root’s',
    'xattr(7): CAP_SYS_ADMIN; others do not see them',
    () => {
      file('f', '', 0o666)
      xattr.set('f', 'trusted.a', 'x')
      equal([value('trusted.a'), xattr.list('f')], ['x', ['trusted.a']])
      as(alice, () => {
        fails('EPERM', () => xattr.set('f', 'trusted.a', 'y'))
        fails('ENODATA', () => xattr.get('f', 'trusted.a'))
        equal(xattr.list('f'), [])
      })
    },
    root,
  )
  add(
    'security attributes',
    'xattr(7): CAP_SYS_ADMIN',
    () => {
      file('f', '', 0o666)
      xattr.set('f', 'security.rkfs-test', 'x')
      equal(value('security.rkfs-test'), 'x')
      fails('EPERM', () => as(alice, () => xattr.set('f', 'security.rkfs-test', 'y')))
    },
    root,
  )
  add('they follow the file', 'xattr(7): associated with the inode', () => {
    file('f')
    xattr.set('f', 'user.a', 'x')
    sys.link('f', 'g')
    sys.rename('f', 'h')
    xattr.set('g', 'user.a', 'changed')
    equal(value('user.a', 'h'), 'changed')
  })
  add('a new file of the name has none', 'xattr(7)', () => {
    file('f')
    xattr.set('f', 'user.a', 'x')
    sys.unlink('f')
    file('f')
    equal(xattr.list('f'), [])
    fails('ENODATA', () => xattr.get('f', 'user.a'))
  })
  add('they mark the status change', 'setxattr of ext4, xfs, tmpfs: ctime alone', () => {
    file('f')
    equal(
      marks('f', () => xattr.set('f', 'user.a', 'x')),
      'ctime',
    )
    equal(
      marks('f', () => xattr.remove('f', 'user.a')),
      'ctime',
    )
  })
  add('a missing file', 'setxattr(2): ENOENT', () => {
    fails('ENOENT', () => xattr.set('missing', 'user.a', 'x'))
    fails('ENOENT', () => xattr.list('missing'))
  })
  add('truncating keeps them', 'xattr(7)', () => {
    const fd = fresh('f', 'abc')
    xattr.fset(fd, 'user.a', 'x')
    sys.close(sys.open('f', O.WRONLY | O.TRUNC))
    equal(value(), 'x')
  })
})

import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { accessAcl, decodeAcl, defaultAcl, encodeAcl, type Acl } from '../kit/acl.js'
import { file, text } from '../kit/files.js'
import { O, S } from '../kit/flags.js'
import { alice, as, bob, staff } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { marks } from '../kit/time.js'
import { xattr } from '../kit/xattr.js'

export const acl = cases('acl', add => {
  const set = (path: string, list: Acl, which = accessAcl): void => xattr.set(path, which, encodeAcl(list))
  const get = (path: string, which = accessAcl): Acl => decodeAcl(xattr.get(path, which))
  const perm = (path: string): number => sys.stat(path).perm
  const named: Acl = { user: 6, users: { [alice.uid]: 6 }, group: 4, groups: { [staff]: 4 }, mask: 6, other: 0 }
  const inherited: Acl = { user: 7, users: { [alice.uid]: 7 }, group: 5, groups: {}, mask: 7, other: 0 }

  add('an access list comes back', 'acl(5); setxattr(2)', () => {
    file('f')
    set('f', named)
    equal(get('f'), named)
    equal(xattr.list('f'), [accessAcl])
  })
  add('the group bits show the mask', 'acl(5): correspondence with the permission bits', () => {
    file('f', '', 0o600)
    set('f', { ...named, mask: 7, other: 1 })
    equal(perm('f'), 0o671)
  })
  add('a list of three entries is the mode alone', 'acl(5): minimal ACL', () => {
    file('f')
    set('f', { user: 6, group: 4, other: 1 })
    equal(perm('f'), 0o641)
    fails('ENODATA', () => xattr.get('f', accessAcl))
    equal(xattr.list('f'), [])
  })
  add('chmod changes the mask, not the group entry', 'acl(5): the group class bits are those of the mask', () => {
    file('f')
    set('f', named)
    sys.chmod('f', 0o700)
    equal(get('f'), { ...named, user: 7, mask: 0 })
    sys.chmod('f', 0o652)
    equal(get('f'), { ...named, user: 6, mask: 5, other: 2 })
  })
  add('a named user is let in', 'acl(5): access check algorithm', () => {
    file('f', 'x', 0o600)
    set('f', { user: 6, users: { [alice.uid]: 4 }, group: 0, mask: 4, other: 0 })
    as(alice, () => {
      equal(text('f'), 'x')
      fails('EACCES', () => sys.open('f', O.WRONLY))
    })
    fails('EACCES', () => as(bob, () => text('f')))
  })
  add('a named user is kept out', 'acl(5): the named user entry decides', () => {
    file('f', 'x', 0o644)
    set('f', { user: 6, users: { [alice.uid]: 0 }, group: 4, mask: 4, other: 4 })
    fails('EACCES', () => as(alice, () => text('f')))
    equal(
      as(bob, () => text('f')),
      'x',
    )
  })
  add('a named group is let in', 'acl(5): supplementary groups', () => {
    file('f', 'x', 0o600)
    set('f', { user: 6, group: 0, groups: { [staff]: 4 }, mask: 4, other: 0 })
    fails('EACCES', () => as(alice, () => text('f')))
    equal(
      as({ ...alice, groups: [staff] }, () => text('f')),
      'x',
    )
  })
  add('a member of a named group does not fall back to other', 'acl(5): a matching group entry decides', () => {
    file('f', 'x', 0o644)
    set('f', { user: 6, group: 4, groups: { [staff]: 0 }, mask: 4, other: 4 })
    fails('EACCES', () => as({ ...alice, groups: [staff] }, () => text('f')))
  })
  add('the mask limits named entries', 'acl(5): maximum access rights', () => {
    file('f', 'x', 0o600)
    set('f', { user: 6, users: { [alice.uid]: 6 }, group: 6, mask: 4, other: 0 })
    as(alice, () => {
      equal(text('f'), 'x')
      fails('EACCES', () => sys.open('f', O.RDWR))
    })
  })
  add('search of a directory by a list', 'acl(5)', () => {
    sys.mkdir('d', 0o700)
    file('d/f', 'x', 0o644)
    set('d', { user: 7, users: { [alice.uid]: 1 }, group: 0, mask: 1, other: 0 })
    equal(
      as(alice, () => text('d/f')),
      'x',
    )
    fails('EACCES', () => as(bob, () => text('d/f')))
  })
  add('removing the list leaves the mode', 'removexattr(2)', () => {
    file('f', 'x', 0o600)
    set('f', { ...named, mask: 4 })
    xattr.remove('f', accessAcl)
    fails('ENODATA', () => xattr.get('f', accessAcl))
    equal(perm('f'), 0o640)
    fails('EACCES', () => as(alice, () => text('f')))
  })
  add('a list that is no list', 'acl_valid(3): EINVAL', () => {
    file('f')
    const good = encodeAcl(named)
    fails('EINVAL', () => xattr.set('f', accessAcl, 'x'))
    fails('EOPNOTSUPP', () => xattr.set('f', accessAcl, 'nonsense!!!!'), 'an unknown version')
    fails('EINVAL', () => set('f', { ...named, mask: undefined }), 'named entries without a mask')
    fails('EINVAL', () => xattr.set('f', accessAcl, good.subarray(0, good.length - 8)), 'no entry for others')
    equal(perm('f'), 0o644)
  })
  add('the owner alone sets it', 'setfacl(1): EPERM', () => {
    file('f', '', 0o666)
    fails('EPERM', () => as(alice, () => set('f', named)))
    sys.chown('f', alice.uid, alice.gid)
    as(alice, () => set('f', named))
  })
  add('it marks the status change', 'chmod(2): ctime', () => {
    file('f')
    equal(
      marks('f', () => set('f', named)),
      'ctime',
    )
  })
  add('a default list is of a directory', 'acl(5): EACCES for other files', () => {
    sys.mkdir('d')
    set('d', inherited, defaultAcl)
    equal(get('d', defaultAcl), inherited)
    fails('ENODATA', () => xattr.get('d', accessAcl))
    file('f')
    fails('EACCES', () => set('f', inherited, defaultAcl))
  })
  add('a default list leaves the mode of its directory', 'acl(5): default ACL', () => {
    sys.mkdir('d', 0o750)
    set('d', inherited, defaultAcl)
    equal(perm('d'), 0o750)
    fails('EACCES', () => as(alice, () => sys.stat('d/x')))
  })
  add('a new file inherits, within the mode asked for', 'acl(5): object creation and default ACLs', () => {
    sys.mkdir('d')
    set('d', inherited, defaultAcl)
    sys.open('d/f', O.CREAT | O.WRONLY, 0o664)
    equal(get('d/f'), { ...inherited, user: 6, mask: 6, other: 0 })
    equal(perm('d/f'), 0o660)
    fails('ENODATA', () => xattr.get('d/f', defaultAcl))
  })
  add('a new directory inherits both lists', 'acl(5): a directory also inherits the default ACL', () => {
    sys.mkdir('d')
    set('d', inherited, defaultAcl)
    sys.mkdir('d/e', 0o777)
    equal([get('d/e', defaultAcl), get('d/e')], [inherited, inherited])
    equal(perm('d/e'), 0o770)
  })
  add('it goes down a tree', 'acl(5)', () => {
    sys.mkdir('d')
    set('d', inherited, defaultAcl)
    sys.mkdir('d/e')
    sys.mkdir('d/e/g')
    file('d/e/g/f', 'x', 0o666)
    equal(
      as(alice, () => text('d/e/g/f')),
      'x',
    )
  })
  add('nodes inherit, links do not', 'acl(5): symlink permissions are not used', () => {
    sys.mkdir('d')
    set('d', inherited, defaultAcl)
    sys.mknod('d/p', S.IFIFO | 0o666)
    sys.symlink('x', 'd/l')
    equal([get('d/p').mask, sys.lstat('d/l').perm], [6, 0o777])
  })
  add('a default list takes the place of the umask', 'acl(5): the umask is not used', () => {
    sys.mkdir('d')
    set('d', inherited, defaultAcl)
    process.umask(0o077)
    sys.open('d/f', O.CREAT | O.WRONLY, 0o666)
    sys.mkdir('d/e', 0o777)
    equal([perm('d/f'), perm('d/e')], [0o660, 0o770])
  })
  add('a minimal default list gives modes alone', 'acl(5)', () => {
    sys.mkdir('d')
    set('d', { user: 7, group: 5, other: 1 }, defaultAcl)
    process.umask(0)
    sys.open('d/f', O.CREAT | O.WRONLY, 0o666)
    equal(perm('d/f'), 0o640)
    fails('ENODATA', () => xattr.get('d/f', accessAcl))
  })
  add('without a default list the umask is used', 'umask(2)', () => {
    sys.mkdir('d')
    set('d', { user: 7, group: 5, other: 5 }, defaultAcl)
    xattr.remove('d', defaultAcl)
    process.umask(0o077)
    sys.open('d/f', O.CREAT | O.WRONLY, 0o666)
    equal(perm('d/f'), 0o600)
  })
  add('a moved file keeps its list', 'acl(5): rename is no creation', () => {
    sys.mkdir('d')
    set('d', inherited, defaultAcl)
    file('f', '', 0o600)
    sys.rename('f', 'd/f')
    fails('ENODATA', () => xattr.get('d/f', accessAcl))
    equal(perm('d/f'), 0o600)
  })
  add(
    'a list and a new owner',
    'acl(5): user and group entries are of the owner',
    () => {
      file('f', 'x', 0o600)
      set('f', { user: 6, users: { [alice.uid]: 4 }, group: 0, mask: 4, other: 0 })
      sys.chown('f', bob.uid, bob.gid)
      equal([as(alice, () => text('f')), as(bob, () => text('f'))], ['x', 'x'])
    },
    { needs: ['root'] },
  )
})

import t from 'tap'
import { EINVAL } from '../../src/base/errno.js'
import { ACL_ACCESS, ACL_DEFAULT, aclOfMode, decodeAcl, encodeAcl, type Acl } from '../../src/fs/acl.js'
import { xattrNames } from '../../src/fs/attributes.js'
import { getInode } from '../../src/fs/inodes.js'
import { XATTR_KILL_SGID, type Operation } from '../../src/fs/operation.js'
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../src/fs/records.js'
import { Machine } from './support/machine.js'

const none = 0xffffffff
const tags: Record<string, number> = { u: 0x01, U: 0x02, g: 0x04, G: 0x08, m: 0x10, o: 0x20 }

/** `u7 U6:1000 g4 m6 o0`: owner, named user, group, mask, others. */
function acl(text: string): Acl {
  return text.split(' ').map(word => ({
    tag: tags[word[0]!]!,
    permissions: Number(word[1]),
    id: word.length > 2 ? Number(word.slice(3)) : none,
  }))
}
function show(bytes: Uint8Array | undefined): string {
  const letters = Object.entries(tags)
  return (bytes === undefined ? [] : decodeAcl(bytes)!)
    .map(
      ({ tag, permissions, id }) =>
        `${letters.find(([, value]) => value === tag)![0]}${permissions}${id === none ? '' : `:${id}`}`,
    )
    .join(' ')
}

const make = (parent: number, name: string, ino: number, mode: number, umask?: number): Operation => ({
  kind: 'make',
  parent,
  name,
  ino,
  mode,
  uid: 7,
  gid: 8,
  rdev: 0,
  target: '',
  ...(umask === undefined ? {} : { umask }),
})
const setAcl = (ino: number, name: string, text: string, flags = 0): Operation => ({
  kind: 'setxattr',
  ino,
  name,
  value: encodeAcl(text === '' ? [] : acl(text)),
  flags,
})
const chmod = (ino: number, mode: number): Operation => ({ kind: 'setattr', ino, mode, killPrivileges: false })

function state(machine: Machine, ino: number): string {
  const acls = [ACL_ACCESS, ACL_DEFAULT].map(name => show(machine.view.get('xattr', ino, name)))
  return `${(getInode(machine.view, ino)!.mode & 0o7777).toString(8)} [${acls.join('] [')}]`
}

void t.test('an ACL is what its bytes say, or refused', t => {
  const whole = 'u7 U6:1000 U4:1001 g5 G1:3 m6 o4'
  t.equal(show(encodeAcl(acl(whole))), whole)
  t.same(decodeAcl(encodeAcl([])), [])
  t.same(decodeAcl(encodeAcl(aclOfMode(0o751))), acl('u7 g5 o1'))
  for (const bad of [
    'u7 g5',
    'u7 u7 g5 o1',
    'u7 g5 o1 m7',
    'u7 U6:1 g5 o1',
    'u7 g5 m7 m7 o1',
    'g5 u7 o1',
    'u8 g5 o1',
  ]) {
    t.equal(decodeAcl(encodeAcl(acl(bad))), undefined, bad)
  }
  const bytes = encodeAcl(acl(whole))
  t.equal(decodeAcl(bytes.subarray(0, 10)), undefined, 'cut')
  t.equal(decodeAcl(bytes.subarray(0, 2)), undefined, 'cut')
  bytes[0] = 1
  t.equal(decodeAcl(bytes), undefined, 'another version')
  t.end()
})

void t.test('an access ACL and the mode say the same (acl(5))', t => {
  const machine = new Machine()
  machine.apply(make(1, 'f', 2, S_IFREG | 0o2644))
  machine.apply(setAcl(2, ACL_ACCESS, 'u7 U6:1000 g5 m4 o1'))
  t.equal(state(machine, 2), '2741 [u7 U6:1000 g5 m4 o1] []', 'the group bits are the mask')
  machine.apply(chmod(2, 0o2620))
  t.equal(state(machine, 2), '2620 [u6 U6:1000 g5 m2 o0] []', 'chmod(2) changes the mask, not the group')
  machine.apply(setAcl(2, ACL_ACCESS, 'u7 U6:1000 g5 m4 o1', XATTR_KILL_SGID))
  t.equal(state(machine, 2), '741 [u7 U6:1000 g5 m4 o1] []')
  machine.apply(setAcl(2, ACL_ACCESS, 'u6 g4 o4'))
  t.equal(state(machine, 2), '644 [] []', 'one that the mode says wholly is not kept')
  machine.apply(setAcl(2, ACL_ACCESS, 'u6 U7:1 g4 m7 o4'))
  machine.apply({ kind: 'removexattr', ino: 2, name: ACL_ACCESS })
  t.equal(state(machine, 2), '674 [] []')
  t.equal(machine.apply(setAcl(2, ACL_DEFAULT, 'u6 g4 o4')), EINVAL, 'a file has no default ACL')
  t.equal(machine.apply({ ...setAcl(2, ACL_ACCESS, ''), value: Uint8Array.of(1) } as Operation), EINVAL)
  t.end()
})

void t.test('what is made gets the default ACL of its directory, or the umask', t => {
  const machine = new Machine()
  machine.apply(make(1, 'plain', 2, S_IFREG | 0o666, 0o027))
  t.equal(state(machine, 2), '640 [] []')
  machine.apply(make(1, 'd', 3, S_IFDIR | 0o777, 0o022))
  machine.apply(setAcl(3, ACL_DEFAULT, 'u7 U7:1000 g5 m7 o0'))
  t.equal(state(machine, 3), '755 [] [u7 U7:1000 g5 m7 o0]')
  machine.apply(make(3, 'f', 4, S_IFREG | 0o666, 0o077))
  t.equal(state(machine, 4), '660 [u6 U7:1000 g5 m6 o0] []', 'the umask does not count')
  machine.apply(make(3, 'e', 5, S_IFDIR | 0o755, 0o077))
  t.equal(state(machine, 5), '750 [u7 U7:1000 g5 m5 o0] [u7 U7:1000 g5 m7 o0]')
  machine.apply(make(3, 'l', 6, S_IFLNK | 0o777, 0o077))
  t.equal(state(machine, 6), '777 [] []', 'a link has none')
  machine.apply(setAcl(3, ACL_DEFAULT, 'u7 g5 o5'))
  machine.apply(make(3, 'g', 7, S_IFREG | 0o666, 0o077))
  t.equal(state(machine, 7), '644 [] []', 'one that the mode says wholly is not kept')
  machine.apply(setAcl(3, ACL_DEFAULT, ''))
  t.same(xattrNames(machine.view, 3), [], 'an empty ACL takes it away')
  t.end()
})

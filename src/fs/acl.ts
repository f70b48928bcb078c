import { ByteReader, ByteWriter } from '../base/bytes.js'

/** POSIX ACLs (acl(5)) as their extended attributes hold them: include/uapi/linux/posix_acl_xattr.h. */

export const ACL_ACCESS = 'system.posix_acl_access'
export const ACL_DEFAULT = 'system.posix_acl_default'

export function isAclName(name: string): boolean {
  return name === ACL_ACCESS || name === ACL_DEFAULT
}

const VERSION = 2
const USER_OBJ = 0x01
const USER = 0x02
const GROUP_OBJ = 0x04
const GROUP = 0x08
const MASK = 0x10
const OTHER = 0x20
const NO_ID = 0xffffffff

export interface AclEntry {
  readonly tag: number
  readonly permissions: number
  readonly id: number
}
export type Acl = readonly AclEntry[]

/** Undefined for bytes that are no valid ACL (posix_acl_valid in the kernel); an empty list for an ACL that is to go. */
export function decodeAcl(bytes: Uint8Array): Acl | undefined {
  if (bytes.length < 4 || (bytes.length - 4) % 8 !== 0) return undefined
  const reader = new ByteReader(bytes, 'ACL')
  if (reader.u32() !== VERSION) return undefined
  const acl: AclEntry[] = []
  while (reader.left > 0) {
    const word = reader.u32()
    acl.push({ tag: word & 0xffff, permissions: word >>> 16, id: reader.u32() })
  }
  return acl.length === 0 || isValid(acl) ? acl : undefined
}

export function encodeAcl(acl: Acl): Uint8Array {
  const writer = new ByteWriter(4 + 8 * acl.length).u32(VERSION)
  for (const { tag, permissions, id } of acl) writer.u32(tag + permissions * 0x10000).u32(id)
  return writer.done()
}

/** One of each of the three, in order of tags; named ones need a mask. */
function isValid(acl: Acl): boolean {
  const count = (tag: number): number => acl.filter(entry => entry.tag === tag).length
  const inOrder = acl.every((entry, i) => i === 0 || entry.tag >= acl[i - 1]!.tag)
  const named = count(USER) + count(GROUP)
  return (
    inOrder &&
    acl.every(({ permissions }) => permissions <= 7) &&
    count(USER_OBJ) === 1 &&
    count(GROUP_OBJ) === 1 &&
    count(OTHER) === 1 &&
    count(MASK) <= 1 &&
    (named === 0 || count(MASK) === 1) &&
    acl.length === 3 + named + count(MASK)
  )
}

/** The entry that the group bits of the mode stand for: the mask where there is one. */
function groupClass(acl: Acl): AclEntry {
  return acl.find(({ tag }) => tag === MASK) ?? acl.find(({ tag }) => tag === GROUP_OBJ)!
}

/** The permission bits of the mode that an ACL amounts to, and whether they say all of it (posix_acl_equiv_mode). */
export function modeOfAcl(acl: Acl): { readonly bits: number; readonly isWhole: boolean } {
  const of = (wanted: number): number => acl.find(({ tag }) => tag === wanted)?.permissions ?? 0
  return {
    bits: (of(USER_OBJ) << 6) | (groupClass(acl).permissions << 3) | of(OTHER),
    isWhole: acl.length === 3,
  }
}

/** The ACL after a chmod(2) (posix_acl_chmod). */
export function chmodAcl(acl: Acl, mode: number): Acl {
  const group = groupClass(acl)
  return acl.map(entry => {
    if (entry.tag === USER_OBJ) return { ...entry, permissions: (mode >> 6) & 7 }
    if (entry.tag === OTHER) return { ...entry, permissions: mode & 7 }
    return entry === group ? { ...entry, permissions: (mode >> 3) & 7 } : entry
  })
}

/** What a new file gets from its directory's default ACL: its own ACL, and its mode within that (posix_acl_create_masq). */
export function inheritAcl(acl: Acl, mode: number): { readonly acl: Acl; readonly mode: number } {
  const bits = modeOfAcl(acl).bits & mode & 0o777
  return { acl: chmodAcl(acl, bits), mode: (mode & ~0o777) | bits }
}

/** An ACL with the three entries that the mode has, for tests and for what has none. */
export function aclOfMode(mode: number): Acl {
  return [
    { tag: USER_OBJ, permissions: (mode >> 6) & 7, id: NO_ID },
    { tag: GROUP_OBJ, permissions: (mode >> 3) & 7, id: NO_ID },
    { tag: OTHER, permissions: mode & 7, id: NO_ID },
  ]
}

/** POSIX ACLs as the extended attributes that the kernel takes: acl(5), linux/posix_acl_xattr.h. */
export const accessAcl = 'system.posix_acl_access'
export const defaultAcl = 'system.posix_acl_default'

const tags = { user: 1, namedUser: 2, group: 4, namedGroup: 8, mask: 16, other: 32 } as const

export interface Acl {
  readonly user: number
  /** uid → permission bits. */
  readonly users?: Readonly<Record<number, number>>
  readonly group: number
  readonly groups?: Readonly<Record<number, number>>
  readonly mask?: number
  readonly other: number
}

const nobody = 0xffffffff

export function encodeAcl({ user, users = {}, group, groups = {}, mask, other }: Acl): Buffer {
  const entries: [number, number, number][] = [
    [tags.user, user, nobody],
    ...Object.entries(users).map(([id, perm]): [number, number, number] => [tags.namedUser, perm, Number(id)]),
    [tags.group, group, nobody],
    ...Object.entries(groups).map(([id, perm]): [number, number, number] => [tags.namedGroup, perm, Number(id)]),
  ]
  if (mask !== undefined) entries.push([tags.mask, mask, nobody])
  entries.push([tags.other, other, nobody])
  const buffer = Buffer.alloc(4 + 8 * entries.length)
  buffer.writeUInt32LE(2, 0)
  entries.forEach(([tag, perm, id], i) => {
    buffer.writeUInt16LE(tag, 4 + 8 * i)
    buffer.writeUInt16LE(perm, 6 + 8 * i)
    buffer.writeUInt32LE(id, 8 + 8 * i)
  })
  return buffer
}

export function decodeAcl(buffer: Buffer): Acl {
  const found = {
    user: 0,
    users: {} as Record<number, number>,
    group: 0,
    groups: {} as Record<number, number>,
    other: 0,
  }
  let mask: number | undefined
  for (let at = 4; at < buffer.length; at += 8) {
    const tag = buffer.readUInt16LE(at)
    const perm = buffer.readUInt16LE(at + 2)
    const id = buffer.readUInt32LE(at + 4)
    if (tag === tags.user) found.user = perm
    else if (tag === tags.namedUser) found.users[id] = perm
    else if (tag === tags.group) found.group = perm
    else if (tag === tags.namedGroup) found.groups[id] = perm
    else if (tag === tags.mask) mask = perm
    else found.other = perm
  }
  return { ...found, mask }
}

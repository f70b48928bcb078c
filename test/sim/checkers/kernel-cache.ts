import { attributesOf } from '../../../src/channel/orphan-file.js'
import { getInode } from '../../../src/fs/apply.js'
import { isDirectory } from '../../../src/fs/records.js'
import type { Member } from '../../channel/support/cluster.js'
import type { Kernel } from '../kernel.js'
import { check } from './violation.js'

const name = 'kernel-cache'

/** What the kernel has cached of a mount is what the member shows, when nothing is on its way there (promise 3). */
export function checkKernelCache(member: Member, kernel: Kernel): void {
  const { view } = member.channel
  const who = `the kernel of m${member.slot - 1}`
  for (const { parent, name: entry, ino } of kernel.entries.values()) {
    const directory = getInode(view, parent)
    // below a directory that is gone nothing is looked up any more
    if (directory === undefined || !isDirectory(directory)) continue
    const found = view.get('entry', parent, entry)?.ino
    check(name, found === ino, () => `${who} has ${parent}/${entry} as inode ${ino}, it is ${found}`)
  }
  for (const [ino, cached] of kernel.attributes) {
    const inode = getInode(view, ino)
    if (inode === undefined) continue
    const shown = attributesOf(ino, inode)
    for (const key of ['mode', 'nlink', 'uid', 'gid', 'size', 'blocks', 'mtime', 'ctime'] as const) {
      check(
        name,
        cached[key] === shown[key],
        () => `${who} has ${key} ${cached[key]} of inode ${ino}, it is ${shown[key]}`,
      )
    }
  }
  for (const [ino, pages] of kernel.pages) {
    const inode = getInode(view, ino)
    if (inode === undefined) continue
    const content = Buffer.concat(member.channel.blobs.read(view, ino, 0, Math.min(inode.size, pages.length)))
    check(name, content.equals(pages.subarray(0, content.length)), () => `${who} has old content of inode ${ino}`)
  }
}

import { placeOfBlob, readPieces } from '../../../src/fs/extents.js'
import { getInode } from '../../../src/fs/inodes.js'
import type { Member } from '../../channel/support/cluster.js'
import { check } from './violation.js'

const name = 'others-changes'

/** A member's programs are shown no other member's change before it is committed and applied there (promise 3). */
export function checkOthersChanges({ channel, id, slot }: Member): void {
  const { view } = channel
  for (let index = channel.appliedIndex + 1; index <= channel.lastIndex; index++) {
    const { entry, operation } = channel.describe(index)!
    if (entry.origin === id || entry.kind === 'noop') continue
    const who = `m${slot - 1} shows entry ${index} of another member, and has applied ${channel.appliedIndex}`
    if (operation.kind === 'make') {
      // inode numbers are given once
      check(name, getInode(view, operation.ino) === undefined, () => `${who}: made inode ${operation.ino}`)
    } else if (operation.kind === 'write' || operation.kind === 'append') {
      const pieces = readPieces(view, operation.ino, 0, getInode(view, operation.ino)?.size ?? 0)
      const isIts = (blob: number): boolean => blob >= 0 && placeOfBlob(blob).number === index
      const shown = pieces.some(({ blob }) => blob !== undefined && isIts(blob))
      check(name, !shown, () => `${who}: content of inode ${operation.ino}`)
    }
  }
}

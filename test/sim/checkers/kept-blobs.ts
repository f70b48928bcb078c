import { decodeRecord } from '../../../src/fs/records.js'
import type { Member } from '../../channel/support/cluster.js'
import { copyOf } from '../../channel/support/sim-disk.js'
import { check } from './violation.js'

const name = 'kept-blobs'

/** What a process finds on its disk belongs together: no blob went that the state there refers to. */
export function checkKeptBlobs({ slot, state, log }: Member): void {
  for (const { table, ino, value } of state.all()) {
    if (table !== 'chunk') continue
    for (const { blob } of decodeRecord('chunk', value)) {
      // a damaged one is there
      check(name, copyOf(log, blob) !== undefined, () => `the disk of m${slot - 1} lacks blob ${blob} of inode ${ino}`)
    }
  }
}

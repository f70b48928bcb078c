/** What a snapshot's `run` is given in the test. */
import type { SnapshotReader } from '../../../src/adapters/sqlite/snapshot-view.js'
import { RkfsError } from '../../../src/base/errors.js'

export function countRecords(
  reader: SnapshotReader,
  args: { fail?: boolean },
  progress: (value: unknown) => void,
): unknown {
  if (args.fail) throw new RkfsError('corrupt', 'found damage')
  let count = 0
  for (const _ of reader.all()) if (++count % 1000 === 0) progress(count)
  return { count, first: reader.scan('inode', 1, undefined, 1).length, blob: reader.blob(8)?.length }
}

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SegmentFiles, streamStart } from '../../../src/adapters/sqlite/segment-files.js'
import { segmentName } from '../../../src/adapters/sqlite/segment-reader.js'
import { fillPool } from './fill-pool.js'

const MiB = 2 ** 20
/** How many descriptors this process has of files in a folder. */
function descriptors(folder: string): number {
  const targets = readdirSync('/proc/self/fd').map(name => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`)
    } catch {
      return ''
    }
  })
  return targets.filter(target => target.startsWith(`${folder}/`)).length
}

function setUp(folder: string): SegmentFiles {
  const place = { path: join(folder, 'log.db'), remedy: '' }
  return new SegmentFiles(join(folder, 'segments'), streamStart, streamStart, place)
}

function append(files: SegmentFiles, bytes: number, fill: number): void {
  files.begin()
  files.append([new Uint8Array(bytes).fill(fill)], bytes)
}

function synced(files: SegmentFiles): Promise<unknown> {
  return new Promise(resolve => files.sync(resolve))
}

t.test('a sync is under way while its segment is completed and synced at once by another', async t => {
  const folder = t.testdir()
  const files = setUp(folder)
  append(files, MiB, 1)
  await synced(files)
  const before = descriptors(folder)
  const busy = fillPool(1_500_000)
  append(files, 32 * MiB, 2)
  const slow = synced(files)
  append(files, MiB, 3)
  t.equal(files.position.segment, 2)
  files.syncNow()
  t.equal(files.dirty, false)
  t.equal(await slow, undefined, 'it succeeds')
  await busy
  append(files, MiB, 4)
  t.equal(await synced(files), undefined)
  t.equal(descriptors(folder), before, 'the descriptor of the complete segment is closed')
  t.equal(readFileSync(join(files.folder, segmentName(2))).length, 2 * MiB)
  files.close()
})

t.test('it is closed while syncs are under way', async t => {
  const folder = t.testdir()
  const files = setUp(folder)
  append(files, 32 * MiB, 1)
  const busy = fillPool(1_500_000)
  files.sync(() => t.fail('nobody is told'))
  append(files, MiB, 2)
  files.close()
  await busy
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal(descriptors(folder), 0)
})

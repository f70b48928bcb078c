/** The power goes when the disk has a segment's beginning, but not yet the end of the segment before. */
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { hasher, moreRecords, owner, quiet, tempFolder } from '../../contracts/entries.js'

const segmentBytes = 3000
const open = (folder: string): SqliteLogStore =>
  SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet, segmentBytes)

for (const next of ['entry', 'journalled change'] as const) {
  t.test(`the next segment begins with: ${next}`, t => {
    const root = tempFolder()
    t.teardown(() => rmSync(root, { recursive: true, force: true }))
    const [live, found] = [join(root, 'live'), join(root, 'found')]
    mkdirSync(live)
    const log = open(live)
    const append = (): void => {
      log.append(moreRecords(log, 1, 1, () => 2000))
      log.commit()
    }
    append()
    log.syncNow()
    const first = join('segments', '00000001')
    const synced = statSync(join(live, first)).size
    const mark = readFileSync(join(live, 'log.mark'))
    append()
    if (next === 'entry') append()
    else {
      const proposal = new Uint8Array(50)
      log.journalPut({ session: 1, sequence: 7, part: 0, proposal, payload: new Uint8Array(0) })
      log.commit()
    }
    t.ok(statSync(join(live, 'segments', '00000002')).size > 0)
    cpSync(live, found, { recursive: true })
    log.close()
    truncateSync(join(found, first), synced)
    writeFileSync(join(found, 'log.mark'), mark)

    const again = open(found)
    t.equal(again.lastIndex, 1)
    t.same(again.journal(), [])
    again.append(moreRecords(again, 3, 2, () => 2000))
    again.commit()
    again.close()
    const whole = open(found)
    t.equal(whole.lastIndex, 4)
    whole.close()
    t.end()
  })
}

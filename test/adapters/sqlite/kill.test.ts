/** `kill -9` at any moment: everything that was reported after a sync is there. */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { decodeEntry, payloadMatches } from '../../../src/oplog/codec.js'
import { hasher, owner, quiet, tempFolder } from '../../contracts/entries.js'

const appender = fileURLToPath(new URL('./appender.ts', import.meta.url))

/** Runs the appender until it has told `count` indices; answers the last index and term. */
function runAndKill(folder: string, count: number): Promise<{ index: number; term: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', appender, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part
      if (text.split('\n').length > count) child.kill('SIGKILL')
    })
    child.on('error', reject)
    child.on('close', (_code, signal) => {
      const lines = text.split('\n').slice(0, -1)
      const [index, term] = lines.at(-1)?.split(' ').map(Number) ?? []
      if (signal !== 'SIGKILL' || index === undefined) return reject(new Error(`the appender ended by itself: ${text}`))
      resolve({ index, term: term! })
    })
  })
}

void t.test('everything reported is there', async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const count of [1, 20, 57, 150]) {
    const told = await runAndKill(folder, count)
    const store = SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet)
    // A truncation of one entry that was told may have been under way.
    t.ok(store.lastIndex >= told.index - 1, `told ${told.index}, found ${store.lastIndex}`)
    t.ok(store.hardState.term >= told.term)
    for (let index = 1; index <= store.lastIndex; index++) {
      const entry = store.read(index, index)[0]!
      if (!payloadMatches(decodeEntry(entry.header, hasher), entry.payload, hasher)) t.fail(`payload of ${index}`)
    }
    store.close()
  }
})

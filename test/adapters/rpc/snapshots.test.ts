import t from 'tap'

import { RkfsError } from '../../../src/base/errors.js'
import { allConnected, cluster, introduce, type Member, until } from './cluster.js'

t.test('snapshots', async t => {
  const [a, b] = (await cluster(2)) as [Member, Member]
  t.teardown(() => Promise.all([a.stop(), b.stop()]))
  await b.stop()
  let written = 0
  let aborted: unknown
  b.options = {
    async snapshot(from, { index }, sink, signal) {
      if (index === 99) throw new RkfsError('not-found', 'there is no such snapshot')
      if (index === 98) throw new Error('secret')
      t.equal(from, a.id)
      signal.addEventListener('abort', () => (aborted = signal.reason))
      for (let i = 0; i < index; i++) {
        await sink.write({ kind: i % 3, id: i, data: new Uint8Array(1024 * 1024).fill(i) })
        written = i + 1
      }
    },
  }
  await b.start()
  introduce([a, b])
  await allConnected([a, b])
  const peer = { id: b.id, address: b.address }

  const start = performance.now()
  let count = 0
  for await (const chunk of a.transport.fetchSnapshot(peer, { index: 200 })) {
    if (chunk.kind !== count % 3 || chunk.id !== BigInt(count) || chunk.data[5] !== count % 256)
      t.fail(`chunk ${count}`)
    count++
  }
  t.equal(count, 200)
  t.comment(`snapshot: ${((200 * 1.048576) / ((performance.now() - start) / 1000)).toFixed(0)} MB/s`)

  const fetch = async (index: number, signal?: AbortSignal): Promise<number> => {
    let chunks = 0
    for await (const _ of a.transport.fetchSnapshot(peer, { index, signal })) chunks++
    return chunks
  }
  t.equal(await fetch(0), 0)
  await t.rejects(fetch(99), { code: 'not-found', message: 'there is no such snapshot' })
  await t.rejects(fetch(98), { code: 'failed', message: 'internal error' })

  const abort = new AbortController()
  written = 0
  const slow = (async () => {
    for await (const chunk of a.transport.fetchSnapshot(peer, { index: 500, signal: abort.signal })) {
      if (chunk.id === 0n) await until('the writer waits', () => written > 5)
      await new Promise(resolve => setTimeout(resolve, 300))
      t.ok(written < 100, `a slow reader holds the writer up (${written})`)
      abort.abort()
    }
  })()
  await t.rejects(slow, { code: 'unavailable', message: 'given up' })
  await until('the writer heard', () => aborted !== undefined)

  for await (const chunk of a.transport.fetchSnapshot(peer, { index: 500 })) if (chunk.id > 3n) break
  const before = b.transport.connected(a.id)
  t.ok(before, 'the link does not mind')
  b.refused.set(a.id, 'removed')
  await t.rejects(fetch(1), { code: 'refused', message: 'removed' })
})

import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import t from 'tap'

import { Invitations } from '../../../src/adapters/pki/invitations.js'

const one = '1111111111111111'
const two = '2222222222222222'

t.test('a secret is redeemed once', async t => {
  const folder = t.testdir()
  let now = 1000
  const store = await Invitations.open(folder, () => now)
  const { secret, expires } = await store.issue(60)
  t.equal(expires, 1060)
  const path = join(folder, 'invitations.json')
  t.equal((await stat(path)).mode & 0o777, 0o600)
  t.notMatch(await readFile(path, 'utf8'), Buffer.from(secret).toString('hex'))
  const results = await Promise.all([store.redeem(secret, one), store.redeem(secret, two)])
  t.same(
    results.map(each => each.ok),
    [true, false],
  )
  t.match(results[1], { reason: /used already/ })
  t.match(await store.redeem(new Uint8Array(16), one), { ok: false, reason: /unknown/ })

  const again = await Invitations.open(folder, () => now)
  t.same(await again.redeem(secret, one), { ok: true }, 'the same member again, after a crash of the owner')
  t.match(await again.redeem(secret, two), { ok: false, reason: /used already/ })
  await again.revoke(one)
  t.match(await again.redeem(secret, one), { ok: false, reason: /removed/ })

  const late = await again.issue(60)
  now = 1060
  t.match(await again.redeem(late.secret, two), { ok: false, reason: /expired on 1970-01-01T00:17:40Z/ })
  t.same(await readdir(folder), ['invitations.json'], 'nothing left behind')
})

t.test('many at once, none lost', async t => {
  const folder = t.testdir()
  const store = await Invitations.open(folder)
  const issued = await Promise.all(Array.from({ length: 20 }, () => store.issue(60)))
  const again = await Invitations.open(folder)
  for (const { secret } of issued) t.same(await again.redeem(secret, one), { ok: true })
})

t.test('a damaged, newer or open file', async t => {
  const folder = t.testdir()
  const path = join(folder, 'invitations.json')
  for (const text of [
    '',
    'x',
    '{}',
    'null',
    '[]',
    '{"version":1,"invitations":[{"hash":"x","expires":1}]}',
    '{"version":1,"invitations":[null]}',
  ]) {
    await writeFile(path, text, { mode: 0o600 })
    await t.rejects(Invitations.open(folder), { code: 'corrupt' }, text)
  }
  await writeFile(path, '{"version":2}')
  await t.rejects(Invitations.open(folder), { code: 'version' })
  await chmod(path, 0o644)
  await t.rejects(Invitations.open(folder), { code: 'refused', message: 'chmod 600' })
})

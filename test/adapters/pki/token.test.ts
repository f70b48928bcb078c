import { createHash, randomBytes } from 'node:crypto'

import t from 'tap'

import { decodeToken, encodeToken } from '../../../src/adapters/pki/token.js'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

t.test('a token', async t => {
  for (const addresses of [
    ['127.0.0.1:7400'],
    ['node-a.example.org:7400', '[::1]:7400'],
    ['10.0.0.1:1', 'b:2', 'ccc:3'],
  ]) {
    const token = {
      channel: 'demo',
      channelId: '0123456789abcdef',
      owner: 'fedcba9876543210',
      addresses,
      caFingerprint: new Uint8Array(randomBytes(32)),
      secret: new Uint8Array(randomBytes(16)),
      expires: 2_000_000_000,
    }
    const text = encodeToken(token)
    t.match(text, /^rkfs2-[A-Za-z0-9_-]+$/)
    t.same(decodeToken(`  ${text}\n`, 1_999_999_999), token)
    t.throws(() => decodeToken(text, 2_000_000_000), {
      code: 'refused',
      message: 'the token expired on 2033-05-18T03:33:20Z: ask the owner of demo for another',
    })
    const refused = (bad: string): void => {
      try {
        decodeToken(bad, 0)
        t.fail(`taken: ${bad}`)
      } catch (error) {
        if (!/the token is damaged \(checksum\)|that is no token|the token is of an older version/.test(String(error)))
          t.fail(`${bad}: ${String(error)}`)
      }
    }
    for (let i = 0; i < text.length; i++) {
      refused(text.slice(0, i))
      refused(text.slice(0, i) + text.slice(i + 1))
      for (let bit = 0; bit < 7; bit++) {
        const flipped = String.fromCharCode(text.charCodeAt(i) ^ (1 << bit))
        const bad = text.slice(0, i) + flipped + text.slice(i + 1)
        if (bad.trim() !== bad) continue
        refused(bad)
      }
      for (const letter of alphabet) if (letter !== text[i]) refused(text.slice(0, i) + letter + text.slice(i + 1))
    }
    for (const letter of `${alphabet}=+/ x`) if (letter !== ' ') refused(text + letter)
    refused(`${text.slice(0, 20)} ${text.slice(20)}`)
    t.pass('every damage was named')
  }
})

t.test('a token of another version is named as such', async t => {
  // as an owner of version 0.1.0 before this one printed it
  const old =
    'rkfs1-BABkZW1vASNFZ4mrze8BDgAxMjcuMC4wLjE6NzQwMAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAgICAgICAgICAgICAgICAgCUNXcAAAAALNdebTcw0FQ'
  t.throws(() => decodeToken(old, 1_999_999_999), {
    code: 'refused',
    message:
      'the token is of an older version of rkfs, and is not taken any more: ask the owner for a new one, which begins with ' +
      'rkfs2- (upgrade rkfs there if it does not)',
  })
  t.throws(
    () => decodeToken('rkfs1-abc', 1_999_999_999),
    { code: 'refused', message: /of an older version/ },
    'damaged, too',
  )
  const body = Buffer.from('whatever a later version has')
  const sum = createHash('sha256').update('rkfs12-').update(body).digest().subarray(0, 8)
  t.throws(() => decodeToken(`rkfs12-${Buffer.concat([body, sum]).toString('base64url')}`, 0), {
    code: 'refused',
    message: /of a newer rkfs \(version 12\): upgrade rkfs here/,
  })
})

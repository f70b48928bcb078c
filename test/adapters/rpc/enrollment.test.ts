import { X509Certificate } from 'node:crypto'

import t from 'tap'

import { createAuthority, createSigningRequest, issueCertificate } from '../../../src/adapters/pki/authority.js'
import { Invitations } from '../../../src/adapters/pki/invitations.js'
import type { Token } from '../../../src/adapters/pki/token.js'
import { verifyMemberCertificate } from '../../../src/adapters/pki/verify.js'
import { enroll } from '../../../src/adapters/rpc/enrollment.js'
import { RkfsError } from '../../../src/base/errors.js'
import { allConnected, introduce, makeKey, Member } from './cluster.js'

t.test('joining with a token', async t => {
  const authority = await createAuthority('demo')
  const invitations = await Invitations.open(t.testdir())
  const owner = await Member.make(authority, 'owner')
  const other = await Member.make(authority, 'other')
  const seen: string[] = []
  owner.options = {
    async enroll({ secret, csrDer, memberId, name, address }) {
      const redemption = await invitations.redeem(secret, memberId)
      if (!redemption.ok) throw new RkfsError('refused', redemption.reason)
      seen.push(`${memberId} ${name} ${address}`)
      const pem = await issueCertificate(authority, csrDer, memberId, name)
      return {
        certificate: new X509Certificate(pem).raw,
        ca: new X509Certificate(authority.caPem).raw,
        descriptor: Buffer.from('descriptor'),
      }
    },
  }
  await owner.start()
  await other.start()
  t.teardown(() => Promise.all([owner.stop(), other.stop()]))
  const tokenFor = async (changes: Partial<Token> = {}): Promise<Token> => ({
    channel: 'demo',
    channelId: authority.channelId,
    addresses: [owner.address],
    caFingerprint: Buffer.from(new X509Certificate(authority.caPem).fingerprint256.replaceAll(':', ''), 'hex'),
    ...(await invitations.issue(60)),
    ...changes,
  })
  const key = await makeKey()
  const csrDer = await createSigningRequest(key.key, 'newcomer')
  const ask = (token: Token, signal?: AbortSignal): ReturnType<typeof enroll> =>
    enroll({ token, csrDer, name: 'newcomer', listenAddress: '127.0.0.1:7777', signal })

  const token = await tokenFor()
  const answer = await ask(token)
  t.same(seen, [`${key.memberId} newcomer 127.0.0.1:7777`])
  t.equal(Buffer.from(answer.descriptor).toString(), 'descriptor')
  const found = verifyMemberCertificate(answer.certificate, answer.ca, authority.channelId, Date.now())
  t.equal(found.memberId, key.memberId)
  t.equal((await ask(token)).certificate.length > 0, true, 'the same member again')

  const stranger = await makeKey()
  const second = await createSigningRequest(stranger.key, 'second')
  const used = enroll({ token, csrDer: second, name: 'second', listenAddress: '127.0.0.1:1' })
  await t.rejects(used, { code: 'refused', message: /used already/ })
  await t.rejects(ask(await tokenFor({ secret: new Uint8Array(16) })), { code: 'refused', message: /unknown here/ })
  await t.rejects(ask(await tokenFor({ caFingerprint: new Uint8Array(32) })), {
    code: 'refused',
    message: /CA fingerprint/,
  })
  const late = await tokenFor(await invitations.issue(0))
  await t.rejects(ask(late), { code: 'refused', message: /expired on/ })
  await t.rejects(ask(await tokenFor({ addresses: [other.address] })), {
    code: 'unavailable',
    message: /not the channel's owner/,
  })
  await t.rejects(ask(await tokenFor({ addresses: ['127.0.0.1:1'] })), { code: 'unavailable', message: /127.0.0.1:1/ })
  await t.rejects(ask(await tokenFor(), AbortSignal.abort()), { code: 'unavailable' })
  const roundabout = await tokenFor({ addresses: ['127.0.0.1:1', other.address, owner.address] })
  t.ok(await ask(roundabout), 'each address in turn')

  // The newcomer is a member like any other.
  const pem = new X509Certificate(answer.certificate).toString()
  const newcomer = new Member(key, authority, pem)
  await newcomer.start()
  t.teardown(() => newcomer.stop())
  introduce([owner, other, newcomer])
  await allConnected([owner, other, newcomer])
})

import { X509Certificate } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import * as tls from 'node:tls'

import t from 'tap'

import { createAuthority, createSigningRequest, issueCertificate } from '../../../src/adapters/pki/authority.js'
import { Invitations } from '../../../src/adapters/pki/invitations.js'
import type { Token } from '../../../src/adapters/pki/token.js'
import { verifyMemberCertificate } from '../../../src/adapters/pki/verify.js'
import { enroll } from '../../../src/adapters/rpc/enrollment.js'
import { RkfsError } from '../../../src/base/errors.js'
import { channelDnsName } from '../../../src/adapters/pki/member-id.js'
import { allConnected, introduce, makeKey, Member } from './cluster.js'

t.test('a removed member that answers in the place of the owner gets nothing of a token', async t => {
  const authority = await createAuthority('demo')
  const owner = await Member.make(authority, 'owner')
  let admitted = 0
  owner.options = {
    enroll: {
      check: () => {},
      async enroll({ csrDer, memberId, name }) {
        admitted++
        return {
          certificate: new X509Certificate(await issueCertificate(authority, csrDer, memberId, name)).raw,
          ca: new X509Certificate(authority.caPem).raw,
          descriptor: Buffer.from('descriptor'),
        }
      },
    },
  }
  await owner.start()
  t.teardown(() => owner.stop())
  // it keeps its key and a certificate of the channel's authority, and listens where the token says
  const removed = await Member.make(authority, 'removed')
  const asked: string[] = []
  let received = 0
  const impostor = tls.createServer({
    key: removed.key.pem,
    cert: `${removed.certificatePem}\n${authority.caPem}`,
    ALPNProtocols: ['h2'],
    SNICallback: (name, done) => {
      asked.push(name)
      done(null)
    },
  })
  impostor.on('secureConnection', socket => {
    socket.on('error', () => {}).on('data', data => (received += data.length))
  })
  impostor.on('tlsClientError', () => {})
  await new Promise<void>(resolve => impostor.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void impostor.close())
  const address = `127.0.0.1:${(impostor.address() as AddressInfo).port}`
  const key = await makeKey()
  const csrDer = await createSigningRequest(key.key, 'newcomer')
  const join = (addresses: string[]): ReturnType<typeof enroll> => {
    const token: Token = {
      channel: 'demo',
      channelId: authority.channelId,
      owner: owner.id,
      addresses,
      caFingerprint: Buffer.from(new X509Certificate(authority.caPem).fingerprint256.replaceAll(':', ''), 'hex'),
      secret: new Uint8Array(16).fill(7),
      expires: 0,
    }
    return enroll({
      token,
      csrDer,
      memberId: key.memberId,
      name: 'newcomer',
      listenAddress: '127.0.0.1:7777',
      renewal: false,
    })
  }
  await t.rejects(join([address]), {
    code: 'refused',
    message: new RegExp(`^member ${removed.id} answers at ${address}, not ${owner.id}$`),
  })
  t.ok((await join([address, owner.address])).certificate.length > 0, 'the owner at the next address admits')
  t.equal(admitted, 1)
  t.same(asked, [channelDnsName(authority.channelId), channelDnsName(authority.channelId)], 'it was asked who it is')
  t.equal(received, 0, 'and was told nothing')
})

t.test('joining with a token', async t => {
  const authority = await createAuthority('demo')
  const invitations = await Invitations.open(t.testdir())
  const owner = await Member.make(authority, 'owner')
  const other = await Member.make(authority, 'other')
  const seen: string[] = []
  owner.options = {
    enroll: {
      check: secret => {
        const redemption = invitations.check(secret)
        if (!redemption.ok) throw new RkfsError('refused', redemption.reason)
      },
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
    },
  }
  await owner.start()
  await other.start()
  t.teardown(() => Promise.all([owner.stop(), other.stop()]))
  const tokenFor = async (changes: Partial<Token> = {}): Promise<Token> => ({
    channel: 'demo',
    channelId: authority.channelId,
    owner: owner.id,
    addresses: [owner.address],
    caFingerprint: Buffer.from(new X509Certificate(authority.caPem).fingerprint256.replaceAll(':', ''), 'hex'),
    ...(await invitations.issue(60)),
    ...changes,
  })
  const key = await makeKey()
  const csrDer = await createSigningRequest(key.key, 'newcomer')
  const ask = (token: Token, signal?: AbortSignal): ReturnType<typeof enroll> =>
    enroll({
      token,
      csrDer,
      memberId: key.memberId,
      name: 'newcomer',
      listenAddress: '127.0.0.1:7777',
      renewal: false,
      signal,
    })

  const token = await tokenFor()
  const answer = await ask(token)
  t.same(seen, [`${key.memberId} newcomer 127.0.0.1:7777`])
  t.equal(Buffer.from(answer.descriptor).toString(), 'descriptor')
  const found = verifyMemberCertificate(answer.certificate, answer.ca, authority.channelId, Date.now())
  t.equal(found.memberId, key.memberId)
  t.equal((await ask(token)).certificate.length > 0, true, 'the same member again')

  const stranger = await makeKey()
  const second = await createSigningRequest(stranger.key, 'second')
  const { memberId } = stranger
  const used = enroll({ token, csrDer: second, memberId, name: 'second', listenAddress: '127.0.0.1:1', renewal: false })
  await t.rejects(used, { code: 'refused', message: /used already/ })
  await t.rejects(ask(await tokenFor({ secret: new Uint8Array(16) })), { code: 'refused', message: /unknown here/ })
  const otherChannel = { channelId: '0'.repeat(16), caFingerprint: new Uint8Array(32) }
  await t.rejects(ask(await tokenFor({ ...otherChannel, owner: other.id })), {
    code: 'refused',
    message: /does not belong to channel demo \(CA fingerprint\)/,
  })
  await t.rejects(ask(await tokenFor(otherChannel)), {
    code: 'unavailable',
    message: /the owner answers at .*, but does not serve demo \(yet\)/,
  })
  const late = await tokenFor(await invitations.issue(0))
  await t.rejects(ask(late), { code: 'refused', message: /expired on/ })
  await t.rejects(ask(await tokenFor({ addresses: [other.address] })), {
    code: 'refused',
    message: new RegExp(`member ${other.id} answers at ${other.address}, not ${owner.id}`),
  })
  await t.rejects(ask(await tokenFor({ addresses: [other.address], owner: other.id })), {
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

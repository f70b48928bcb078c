/** What strangers can make a node do: little, and no more of it for asking often. */
import { X509Certificate } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import * as tls from 'node:tls'
import { create } from '@bufbuild/protobuf'
import t from 'tap'
import { createAuthority, createSigningRequest, issueCertificate } from '../../../src/adapters/pki/authority.js'
import { serveEnroll, type EnrollHandler } from '../../../src/adapters/rpc/enrollment.js'
import { Handshakes } from '../../../src/adapters/rpc/handshakes.js'
import { StreamCounter } from '../../../src/adapters/rpc/stream-counter.js'
import { enrollmentsWaitingMax, handshakeBurst, strangerBytesMax } from '../../../src/adapters/rpc/tuning.js'
import { Turns } from '../../../src/adapters/rpc/turns.js'
import { parseAddress } from '../../../src/adapters/rpc/address.js'
import { RkfsError } from '../../../src/base/errors.js'
import { EnrollRequestSchema, type EnrollRequest } from '../../../src/gen/rkfs/v1/enrollment_pb.js'
import { makeKey, Member, until } from './cluster.js'

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const frame = (type: number, flags: number, stream: number, body: Uint8Array = Buffer.alloc(0)): Buffer => {
  const header = Buffer.alloc(9)
  header.writeUIntBE(body.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, body])
}
const settings = frame(4, 0, 0)
/** :method POST, :scheme https, :path /, by HPACK's static table; END_HEADERS and END_STREAM. */
const opening = (stream: number): Buffer => frame(1, 5, stream, Buffer.from([0x83, 0x87, 0x84]))
const reset = (stream: number): Buffer => frame(3, 0, stream, Buffer.from([0, 0, 0, 8]))
const ping = frame(6, 0, 0, Buffer.alloc(8))

t.test('a stranger is cut off after 8 streams or 64 KiB, and named', async t => {
  const authority = await createAuthority('demo')
  const member = await Member.make(authority, 'owner')
  await member.start()
  t.teardown(() => member.stop())
  const { host, port } = parseAddress(member.address)
  const open = async (...parts: Buffer[]): Promise<{ socket: tls.TLSSocket; received: () => Buffer }> => {
    const servername = `${authority.channelId}.rkfs`
    const socket = tls.connect({ host, port, servername, ALPNProtocols: ['h2'], rejectUnauthorized: false })
    let received = Buffer.alloc(0)
    socket.on('error', () => {}).on('data', data => (received = Buffer.concat([received, data])))
    await new Promise(resolve => socket.once('secureConnect', resolve))
    socket.write(Buffer.concat([preface, settings, ...parts]))
    return { socket, received: () => received }
  }
  const streams = (count: number): Buffer[] =>
    Array.from({ length: count }, (_, i) => Buffer.concat([opening(2 * i + 1), reset(2 * i + 1)]))
  const few = await open(...streams(8))
  const many = await open(...streams(9))
  const resets = await open(...streams(1000))
  const pings = await open(...Array.from({ length: Math.ceil(strangerBytesMax / ping.length) }, () => ping))
  for (const [what, { socket }] of Object.entries({ many, resets, pings })) {
    await until(`${what}: it was cut`, () => socket.destroyed)
  }
  t.ok(few.received().length > 0)
  t.notOk(few.socket.destroyed, '8 streams are not too many')
  few.socket.destroy()
  t.ok(member.logs.some(line => /a stranger was cut off .*it sent too much/.test(line)))
})

t.test('streams are counted however the bytes are cut', t => {
  const sent = Buffer.concat([preface, settings, opening(1), ping, frame(0, 0, 1, Buffer.alloc(300, 1)), opening(3)])
  for (const size of [1, 2, 5, 9, 64, sent.length]) {
    const counter = new StreamCounter()
    let count = 0
    for (let at = 0; at < sent.length; at += size) count = counter.push(sent.subarray(at, at + size))
    t.equal(count, 2, `pieces of ${size}`)
  }
  t.end()
})

const secret = new Uint8Array(16).fill(1)
async function requestOf(csr: Uint8Array, its = secret): Promise<EnrollRequest> {
  return create(EnrollRequestSchema, {
    channelId: '0'.repeat(16),
    secret: its as Uint8Array<ArrayBuffer>,
    signingRequest: csr as Uint8Array<ArrayBuffer>,
    name: 'newcomer',
    address: '127.0.0.1:1',
  })
}

t.test('the secret is looked up before anything is verified', async t => {
  const handler: EnrollHandler = {
    check: given => {
      if (given[0] !== 1) throw new RkfsError('refused', 'the token is unknown here')
    },
    enroll: () => Promise.reject(new Error('not reached')),
  }
  const junk = Buffer.from('no signing request')
  const unknown = serveEnroll(await requestOf(junk, new Uint8Array(16)), handler, new Turns(1))
  await t.rejects(unknown, { message: /unknown here/ })
  await t.rejects(serveEnroll(await requestOf(junk), handler, new Turns(1)), { message: /bad signing request/ })
})

t.test('one enrollment at a time; too many that wait are told so', async t => {
  const authority = await createAuthority('demo')
  const csr = await createSigningRequest((await makeKey()).key, 'newcomer')
  let [running, most] = [0, 0]
  const handler: EnrollHandler = {
    check: () => {},
    async enroll({ csrDer, memberId, name }) {
      most = Math.max(most, ++running)
      const pem = await issueCertificate(authority, csrDer, memberId, name)
      running--
      const certificate = new X509Certificate(pem).raw
      return { certificate, ca: new X509Certificate(authority.caPem).raw, descriptor: Buffer.from('descriptor') }
    },
  }
  const turns = new Turns(enrollmentsWaitingMax)
  const request = await requestOf(csr)
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => serveEnroll(request, handler, turns)))
  t.equal(most, 1)
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, enrollmentsWaitingMax + 1)
  for (const result of results) if (result.status === 'rejected') t.match(result.reason, { code: 'busy' })
  t.ok(await serveEnroll(request, handler, turns), 'and then it goes on')
})

t.test('handshakes are paced, and an address that asks often holds up no other', async t => {
  const handshakes = new Handshakes()
  t.teardown(() => handshakes.close())
  const begun: string[] = []
  const from = (remoteAddress: string): Socket => {
    const socket = Object.assign(new EventEmitter(), { remoteAddress }) as unknown as Socket
    handshakes.begin(socket, () => begun.push(remoteAddress))
    return socket
  }
  const flood = Array.from({ length: handshakeBurst + 200 }, () => from('10.0.0.1'))
  t.equal(begun.length, handshakeBurst)
  from('10.0.0.2')
  from('2001:db8:1:2:3::4')
  from('2001:db8:1:2:ffff::4')
  await until('the others began', () => begun.filter(each => each !== '10.0.0.1').length === 3)
  t.ok(begun.length < handshakeBurst + 40, 'before most of the flood')
  for (const socket of flood) socket.emit('close')
  const before = begun.length
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal(begun.length, before, 'whoever has gone is not served')
  for (let n = 0; n < handshakeBurst; n++) handshakes.giveBack()
  from('10.0.0.3')
  t.equal(begun.at(-1), '10.0.0.3', 'members give theirs back')
})

/** A member with a good certificate that does not keep to the protocol. */
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  status,
  type ServerDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js'
import t from 'tap'

import { createAuthority } from '../../../src/adapters/pki/authority.js'
import { encodeFrame } from '../../../src/adapters/rpc/frame-codec.js'
import { protocolVersion } from '../../../src/adapters/rpc/tuning.js'
import { cluster, Member, until } from './cluster.js'

const same = (bytes: Buffer): Buffer => bytes
const definition = {
  subscribe: {
    path: '/rkfs.v1.Peer/Subscribe',
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
}

t.test('a server that sends nonsense is left, by name', async t => {
  const authority = await createAuthority('demo')
  const [a] = (await cluster(1, authority)) as [Member]
  t.teardown(() => a.stop())
  const welcome = encodeFrame([{ kind: 'welcome', protocolVersion, run: '' }])
  const rogues: [string, Buffer[], RegExp][] = [
    ['too long', [welcome, Buffer.alloc(5 * 1024 * 1024)], /larger than max/],
    ['garbage', [welcome, Buffer.from('nonsense')], /malformed frame/],
    ['no welcome', [encodeFrame([{ kind: 'propose-again' }])], /before its welcome/],
    ['welcome twice', [welcome, welcome], /welcomed us twice/],
  ]
  for (const [what, frames, expected] of rogues) {
    const rogue = await Member.make(authority, 'rogue')
    const server = new Server({ 'grpc.max_send_message_length': -1 })
    server.addService(definition, {
      subscribe(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('error', () => undefined)
        call.on('data', () => undefined)
        for (const frame of frames) call.write(frame)
      },
    })
    const pair = { private_key: Buffer.from(rogue.key.pem), cert_chain: Buffer.from(rogue.certificatePem) }
    const port = await new Promise<number>((resolve, reject) => {
      const secure = ServerCredentials.createSsl(Buffer.from(authority.caPem), [pair], true)
      server.bindAsync('127.0.0.1:0', secure, (error, bound) => (error ? reject(error) : resolve(bound)))
    })
    a.transport.setPeers([{ id: rogue.id, address: `127.0.0.1:${port}` }])
    await until(what, () => expected.test(a.transport.peerInfo(rogue.id).problem ?? ''), 5)
    t.match(a.transport.peerInfo(rogue.id).problem, expected, what)
    t.equal(a.logs.filter(line => line.includes(rogue.id)).length, 1, 'and said once')
    server.forceShutdown()
  }
  t.equal(a.count('connected') + a.count('message'), 0)
})

t.test('a client that sends nonsense is left, by name', async t => {
  const authority = await createAuthority('demo')
  const [a] = (await cluster(1, authority)) as [Member]
  t.teardown(() => a.stop())
  const rogue = await Member.make(authority, 'rogue')
  a.transport.setPeers([{ id: rogue.id, address: '127.0.0.1:1' }])
  const ssl = credentials.createSsl(
    Buffer.from(authority.caPem),
    Buffer.from(rogue.key.pem),
    Buffer.from(rogue.certificatePem),
    { checkServerIdentity: () => undefined },
  )
  const channel = Buffer.from(authority.channelId)
  const hello = (version: number): Buffer => {
    const body = Buffer.concat([Buffer.from([0x0a, channel.length]), channel, Buffer.from([0x10, version])])
    return Buffer.concat([Buffer.from([0x0a, body.length]), body])
  }
  const ping = Buffer.from([0x12, 2, 8, 1])
  const cases: [string, Buffer[], RegExp][] = [
    ['too long', [Buffer.alloc(5 * 1024 * 1024)], /RESOURCE_EXHAUSTED: .*larger than max/],
    ['garbage', [Buffer.from('nonsense')], /INTERNAL: Error deserializing/],
    ['no hello', [ping], /INVALID_ARGUMENT: a stream must begin with a hello/],
    ['hello twice', [hello(protocolVersion), hello(protocolVersion)], /UNAVAILABLE: .*neither hello nor ping/],
    [
      'another protocol',
      [hello(9)],
      new RegExp(`FAILED_PRECONDITION: protocol 9 here meets protocol ${protocolVersion} there`),
    ],
    ['silence', [], /DEADLINE_EXCEEDED: no hello came/],
    ['silence after the hello', [hello(protocolVersion)], /UNAVAILABLE: silent for 5 s/],
  ]
  await Promise.all(
    cases.map(async ([what, messages, expected]) => {
      if (what === 'silence after the hello') await new Promise(resolve => setTimeout(resolve, 500))
      const client = new Client(a.address, ssl, {
        'grpc.ssl_target_name_override': `${authority.channelId}.rkfs`,
        'grpc.use_local_subchannel_pool': 1,
        'grpc.max_send_message_length': -1,
      })
      const result = await new Promise<string>(resolve => {
        const call = client.makeBidiStreamRequest(definition.subscribe.path, same, same, {
          deadline: Date.now() + 15_000,
        })
        call.on('data', () => undefined)
        call.on('error', (error: ServiceError) => resolve(`${status[error.code]}: ${error.details}`))
        for (const message of messages) call.write(message)
      })
      t.match(result, expected, what)
      client.close()
    }),
  )
  t.equal(a.count('connected') + a.count('message'), 0)
})

/**
 * A stranger's flood, in a process of its own: `flood.ts KIND PORT CHANNEL_ID CA_FILE SECONDS`. Loopback only, bounded in time and
 * in what is open at once. Prints how many times it did it.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { create, toBinary } from '@bufbuild/protobuf'
import { createSigningRequest } from '../../../src/adapters/pki/authority.js'
import { EnrollRequestSchema } from '../../../src/gen/rkfs/v1/enrollment_pb.js'
import { makeKey } from '../../adapters/rpc/cluster.js'
import { connectToNode, methods, RawPeer } from './raw-peer.js'

const [kind, port, channelId, ca, seconds] = process.argv.slice(2) as [string, string, string, string, string]
const host = '127.0.0.1'
const end = performance.now() + Number(seconds) * 1000
const atOnce = 8
let count = 0

const request = toBinary(
  EnrollRequestSchema,
  create(EnrollRequestSchema, {
    channelId,
    secret: new Uint8Array(16),
    signingRequest: (await createSigningRequest((await makeKey()).key, 'x')) as Uint8Array<ArrayBuffer>,
    name: 'x',
    address: '127.0.0.1:1',
  }),
)

const frame = (type: number, flags: number, stream: number, body: Uint8Array): Buffer => {
  const header = Buffer.alloc(9)
  header.writeUIntBE(body.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, body])
}
const resets = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(4, 0, 0, Buffer.alloc(0)),
  ...Array.from({ length: 5000 }, (_, i) =>
    Buffer.concat([
      frame(1, 5, 2 * i + 1, Buffer.from([0x83, 0x87, 0x84])),
      frame(3, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])),
    ]),
  ),
])

const secured = (): TLSSocket => connectToNode({ host, port: Number(port) }, channelId)

/** Ends when the connection does, or after two seconds. */
function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {}).on('data', () => {})
  setTimeout(() => socket.destroy(), 2000).unref()
  return new Promise(resolve => socket.once('close', () => resolve()))
}

const kinds: Record<string, () => Promise<void>> = {
  async enrollments() {
    const peer = new RawPeer(`${host}:${port}`, channelId, undefined)
    await peer.call(methods[2]!, [request], 2)
    peer.close()
  },
  async resets() {
    const socket = secured()
    socket.once('secureConnect', () => socket.write(resets))
    await closed(socket)
  },
  async handshakes() {
    const socket = secured()
    socket.once('secureConnect', () => socket.destroy())
    await closed(socket)
  },
  async connections() {
    const socket = connect(Number(port), host, () => setTimeout(() => socket.destroy(), 100))
    await closed(socket)
  },
}

readFileSync(ca) // it knows what anybody can know
const attack = kinds[kind]!
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    while (performance.now() < end) {
      await attack()
      count++
    }
  }),
)
process.stdout.write(`${count}\n`)
process.exit(0)

import { createSecureServer } from 'node:http2'
import t from 'tap'

import { createAuthority } from '../../../src/adapters/pki/authority.js'
import { connectPeer } from '../../../src/adapters/rpc/peer-client.js'
import { freePort } from '../../e2e/support/cluster.js'
import { Member, until } from './cluster.js'

t.test('a client that was closed while its peer was away does not come back to it', async t => {
  const authority = await createAuthority('demo')
  const { key, certificatePem } = await Member.make(authority, 'peer')
  const port = await freePort()
  const client = connectPeer({
    address: `127.0.0.1:${port}`,
    channelId: authority.channelId,
    caPem: authority.caPem,
    member: key.memberId,
  })
  const bytes = (value: Buffer): Buffer => value
  const failure = await new Promise<Error | null>(resolve => {
    client.makeUnaryRequest('/rkfs.v1.Peer/Nothing', bytes, bytes, Buffer.alloc(0), resolve)
  })
  t.match(failure?.message, /ECONNREFUSED/)
  client.close()

  const server = createSecureServer({ key: key.pem, cert: `${certificatePem}\n${authority.caPem}` })
  t.teardown(() => server.close())
  const seen = { attempts: 0, closed: 0 }
  server.on('connection', socket => {
    seen.attempts++
    socket.once('close', () => seen.closed++)
    t.teardown(() => socket.destroy())
  })
  server.listen(port, '127.0.0.1')
  // Should the first never be true again, grpc-js has mended it: what connectPeer does about it can go.
  await until('the library tries once more', () => seen.attempts > 0, 10)
  await until('the attempt is given up', () => seen.closed === seen.attempts, 10)
})

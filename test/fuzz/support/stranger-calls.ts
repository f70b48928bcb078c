/** Calls of somebody who is no member, over a connection that the node may cut. */
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { status } from '@grpc/grpc-js'
import { connectToNode, type Credentials } from './raw-peer.js'

/** A node cuts a stranger's connection after a minute, whatever it does. */
const hangsMs = 90_000

/**
 * Makes one call for each message, all over one new connection, and answers how each ended: by its status, `cut` when the
 * connection was closed, or `hangs`. Not a client of grpc-js: now and then one does not notice that its connection is
 * closed, and all its calls wait for their deadlines.
 */
export async function strangerCalls(
  address: { host: string; port: number },
  channelId: string,
  shown: Credentials | undefined,
  path: string,
  messages: readonly Uint8Array[],
): Promise<string[]> {
  const socket = connectToNode(address, channelId, shown)
  const session = connectHttp2('https://node', { createConnection: () => socket })
  socket.on('error', () => undefined)
  session.on('error', () => undefined)
  let timer: NodeJS.Timeout | undefined
  const hung = new Promise<string>(resolve => (timer = setTimeout(resolve, hangsMs, 'hangs')))
  const closed = new Promise<string>(resolve => socket.once('close', () => resolve('cut')))
  // they say how many calls it takes at once
  await Promise.race([new Promise(resolve => session.once('remoteSettings', resolve)), closed, hung])
  const made = session.destroyed ? [] : messages.map(message => callOver(session, path, message))
  const calls = messages.map((_, i) => Promise.race([...made.slice(i, i + 1), closed, hung]))
  try {
    return await Promise.all(calls)
  } finally {
    clearTimeout(timer)
    session.destroy()
    socket.destroy()
  }
}

/** One call; answers how its stream ended. */
function callOver(session: ClientHttp2Session, path: string, message: Uint8Array): Promise<string> {
  return new Promise(resolve => {
    const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' }
    const stream = session.request(headers, { endStream: false })
    const take = (told: { readonly 'grpc-status'?: unknown }): void => {
      const code = told['grpc-status']
      if (code !== undefined) resolve(status[Number(code)] ?? `status ${String(code)}`)
    }
    stream.on('response', take).on('trailers', take)
    stream.on('error', () => undefined)
    stream.on('close', () => resolve('cut'))
    stream.resume()
    stream.end(framed(message))
  })
}

/** As gRPC has it: not compressed, its length, the message. */
function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

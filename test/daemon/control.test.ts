import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { RkfsError } from '../../src/base/errors.js'
import { callDaemon, isNoNode } from '../../src/daemon/control-client.js'
import { controlSocketPath } from '../../src/daemon/control-path.js'
import { ControlServer, type ControlHandlers } from '../../src/daemon/control-server.js'
import { silentLog, type Log } from '../../src/daemon/log.js'

type Tap = { testdir(): string; teardown(fn: () => Promise<void>): void }

async function serve(t: Tap, handlers: Partial<ControlHandlers>, log: Log = silentLog, requestTimeoutMs?: number) {
  const home = t.testdir()
  const path = controlSocketPath(home)
  const server = new ControlServer(path, handlers as ControlHandlers, log, requestTimeoutMs)
  await server.start()
  t.teardown(() => server.stop())
  return { home, path, server }
}

/** Sends raw bytes and answers what came back until the end of the connection. */
function raw(path: string, bytes: string | Buffer): Promise<string> {
  return new Promise(resolve => {
    const socket = createConnection(path, () => socket.write(bytes))
    let text = ''
    socket.setEncoding('utf8').on('data', part => (text += part))
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}

t.test('a call: progress, items, result', async t => {
  const { home, path } = await serve(t, {
    sync: async (args, context) => {
      context.progress({ what: 'sync', done: 1, total: 2, unit: 'entries' })
      await context.item({ n: 1 })
      return { index: args.timeout }
    },
  })
  t.equal(statSync(path).mode & 0o777, 0o600)
  const progress: unknown[] = []
  const items: unknown[] = []
  const result = await callDaemon(
    home,
    'sync',
    { channel: 'demo', all: false, timeout: 7 },
    { onProgress: p => progress.push(p), onItem: i => items.push(i) },
  )
  t.same(result, { index: 7 })
  t.same(progress, [{ what: 'sync', done: 1, total: 2, unit: 'entries' }])
  t.same(items, [{ n: 1 }])
})

t.test('an error that quotes a long argument begins and ends as it should', async t => {
  const { home } = await serve(t, {
    sync: ({ channel }) => Promise.reject(new RkfsError('not-found', `no channel ${channel}: see rkfs channel list`)),
  })
  const call = callDaemon(home, 'sync', { channel: 'x'.repeat(50_000), all: false, timeout: 7 }, {})
  const { message } = (await call.catch((error: unknown) => error)) as Error
  t.ok(message.length < 11_000, `${message.length} characters`)
  t.match(message, /^no channel x+ … x+: see rkfs channel list$/)
})

t.test('nonsense is answered with `usage`', async t => {
  let calls = 0
  const { path } = await serve(t, {
    sync: () => Promise.resolve({ index: ++calls }),
    ping: () => Promise.resolve({ version: '', pid: ++calls }),
  })
  const cases: [string | Buffer, RegExp][] = [
    ['not json\n', /not JSON/],
    ['[]\n', /not an object/],
    ['null\n', /not an object/],
    ['{}\n', /does not know undefined|does not know/],
    ['{"verb":"constructor"}\n', /does not know \\"constructor\\"/],
    ['{"verb":"ping","args":[]}\n', /arguments must be an object/],
    ['{"verb":"ping","args":{"x":1}}\n', /unknown argument/],
    ['{"verb":"sync","args":{"channel":"a","all":"yes","timeout":1}}\n', /all must be true or false/],
    ['{"verb":"sync","args":{"channel":5,"all":true,"timeout":1}}\n', /channel must be a text/],
    ['{"verb":"sync","args":{"channel":"a\\u0000","all":true,"timeout":1}}\n', /channel must be a text/],
    ['{"verb":"sync","args":{"channel":"a","all":true,"timeout":-1}}\n', /timeout must be/],
    ['{"verb":"sync","args":{"channel":"a","all":true}}\n', /timeout must be/],
    [Buffer.alloc(1024 * 1024 + 2, 'x'), /at most 1048576 bytes/],
    [Buffer.concat([Buffer.from([0xff, 0xfe, 0]), Buffer.from('\n')]), /not JSON/],
  ]
  for (const [bytes, word] of cases) {
    const answer = await raw(path, bytes)
    t.match(answer, /^\{"error":\{"code":"usage"/, String(bytes).slice(0, 60))
    t.match(answer, word)
  }
  t.equal(calls, 0)
})

t.test('a request in small pieces is put together', async t => {
  const { path } = await serve(t, { ping: () => Promise.resolve({ version: 'ä', pid: 1 }) })
  const answer = await new Promise<string>(resolve => {
    const socket = createConnection(path)
    let text = ''
    socket.on('data', part => (text += part)).on('close', () => resolve(text))
    const bytes = [...'{"verb":"ping","args":{}}\n']
    const next = (): void => {
      const byte = bytes.shift()
      if (byte !== undefined) socket.write(byte, () => setImmediate(next))
    }
    next()
  })
  t.same(JSON.parse(answer), { result: { version: 'ä', pid: 1 } })
})

t.test('errors: RkfsError as it is; anything else as `failed`, its stack in the log alone', async t => {
  const logged: unknown[] = []
  const log: Log = { ...silentLog, error: (_message, fields) => logged.push(fields) }
  const { home } = await serve(
    t,
    {
      ping: () => Promise.reject(new RkfsError('no-quorum', 'two\nlines')),
      'channel.list': () => {
        throw new TypeError('oops')
      },
    },
    log,
  )
  await t.rejects(callDaemon(home, 'ping', {}), { code: 'no-quorum', message: 'two lines' })
  t.equal(logged.length, 0)
  await t.rejects(callDaemon(home, 'channel.list', {}), { code: 'failed', message: /^oops \(a fault of rkfs/ })
  t.match(logged, [{ verb: 'channel.list', error: TypeError }])
})

t.test('a client that goes away cancels its request', async t => {
  let started = (): void => {}
  let cancelled = (): void => {}
  const hasStarted = new Promise<void>(resolve => (started = resolve))
  const wasCancelled = new Promise<void>(resolve => (cancelled = resolve))
  const { home } = await serve(t, {
    ping: (_args, context) =>
      new Promise((_, reject) => {
        context.signal.addEventListener('abort', () => {
          cancelled()
          reject(context.signal.reason)
        })
        started()
      }),
  })
  const abort = new AbortController()
  const call = callDaemon(home, 'ping', {}, { signal: abort.signal })
  await hasStarted
  abort.abort()
  await t.rejects(call, { name: 'AbortError' })
  await wasCancelled
})

t.test('a time limit, and a node that stops in the midst', async t => {
  const never = (): Promise<never> => new Promise(() => {})
  const { home, server } = await serve(t, { ping: never, sync: never })
  await t.rejects(callDaemon(home, 'ping', {}, { timeoutMs: 50 }), {
    code: 'timeout',
    message: /the node on \S+ does not answer: `rkfs stop --force` ends it/,
  })
  const args = { channel: 'demo', all: false, timeout: 1 }
  await t.rejects(callDaemon(home, 'sync', args, { timeoutMs: 50, graceMs: 60_000 }), { message: /does not answer/ })
  const call = callDaemon(home, 'ping', {})
  call.catch(() => {})
  await new Promise(resolve => setTimeout(resolve, 50))
  await server.stop()
  await t.rejects(call, { code: 'failed', message: /went away/ })
  await server.stop()
})

t.test('a slow reader holds up the items, not the memory', async t => {
  let sent = 0
  const { home, path } = await serve(t, {
    log: async (args, context) => {
      for (let i = 0; i < args.limit && !context.signal.aborted; i++) {
        await context.item('x'.repeat(64 * 1024))
        if (args.follow) sent++
      }
      return {}
    },
  })
  const socket = createConnection(path)
  socket.pause()
  socket.write('{"verb":"log","args":{"channel":"a","follow":true,"limit":1000}}\n')
  await new Promise(resolve => setTimeout(resolve, 300))
  t.ok(sent > 0 && sent < 200, `${sent} items are on their way`)
  socket.destroy()
  let items = 0
  await callDaemon(home, 'log', { channel: 'a', follow: false, limit: 1000 }, { onItem: () => items++ })
  t.equal(items, 1000)
})

t.test('no node: told apart from the errors of a node', async t => {
  const home = t.testdir()
  const missing = await callDaemon(home, 'ping', {}).catch((error: unknown) => error)
  t.ok(isNoNode(missing))
  t.match(missing, { code: 'unavailable', message: /no node is running on .*rkfs serve/ })
  writeFileSync(join(home, 'control.sock'), '')
  t.ok(isNoNode(await callDaemon(home, 'ping', {}).catch((error: unknown) => error)))
  t.notOk(isNoNode(new RkfsError('unavailable', 'busy')))
})

t.test('a dead node’s socket file is replaced, and removed at the end', async t => {
  const home = t.testdir()
  const path = controlSocketPath(home)
  writeFileSync(path, 'stale')
  const server = new ControlServer(path, { ping: () => Promise.resolve({ version: '', pid: 1 }) } as never, silentLog)
  await server.start()
  t.same(await callDaemon(home, 'ping', {}), { version: '', pid: 1 })
  await server.stop()
  t.notOk(existsSync(path))
})

t.test('a home with a long path has its socket in a private folder', async t => {
  const home = join(t.testdir(), 'long'.repeat(30))
  mkdirSync(home)
  const path = controlSocketPath(home)
  t.match(path, /^\/tmp\/rkfs-\d+\/[0-9a-f]{32}\.sock$/)
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
  const server = new ControlServer(path, { ping: () => Promise.resolve({ version: '', pid: 2 }) } as never, silentLog)
  await server.start()
  t.same(await callDaemon(home, 'ping', {}), { version: '', pid: 2 })
  await server.stop()
})

t.test('too many connections are refused, not queued', async t => {
  const { home } = await serve(t, { ping: () => new Promise(() => {}) })
  const abort = new AbortController()
  const calls = Array.from({ length: 64 }, () => callDaemon(home, 'ping', {}, { signal: abort.signal }).catch(() => {}))
  await new Promise(resolve => setTimeout(resolve, 100))
  await t.rejects(callDaemon(home, 'ping', {}), { code: 'unavailable', message: /too many/ })
  abort.abort()
  await Promise.all(calls)
})

t.test('a node that works on it for longer than it should', async t => {
  let finish = (): void => {}
  const { home } = await serve(t, {
    ping: () => Promise.resolve({ version: '', pid: 1 }),
    sync: ({ timeout }) => new Promise(resolve => (finish = () => resolve({ index: timeout }))),
  })
  const args = { channel: 'demo', all: false, timeout: 7 }
  await t.rejects(callDaemon(home, 'sync', args, { timeoutMs: 50 }), {
    code: 'timeout',
    message: /did not finish "sync" within 0 s/,
  })
  const call = callDaemon(home, 'sync', args, { timeoutMs: 50, graceMs: 60_000 })
  setTimeout(() => finish(), 300)
  t.same(await call, { index: 7 }, 'it gets longer, since it answers otherwise')
})

t.test('who asks nothing is closed; who asked a node that was busy is answered', async t => {
  const timeoutMs = 50
  const { home, path } = await serve(t, { ping: () => Promise.resolve({ version: '', pid: 1 }) }, silentLog, timeoutMs)
  t.equal(await raw(path, '{'), '')
  // the node is busy from when it accepts the connection until its time is over
  const busy = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * timeoutMs)
  subscribe('net.server.socket', busy)
  t.teardown(() => unsubscribe('net.server.socket', busy))
  t.same(await callDaemon(home, 'ping', {}), { version: '', pid: 1 })
  t.end()
})

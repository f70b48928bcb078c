import { join } from 'node:path'
import t from 'tap'
import { RkfsError } from '../../src/base/errors.js'
import { loadConfig, parseAddress } from '../../src/daemon/config.js'

t.test('built-in < file < environment < flags, each with its source', async t => {
  const home = t.testdir({
    'config.toml': '# mine\nlisten = "127.0.0.1:1"\ntimeout_seconds = 10\nlog_level = "warn"\n',
  })
  const { config, entries } = loadConfig(
    home,
    { RKFS_LISTEN: '127.0.0.1:2', RKFS_TIMEOUT_SECONDS: '20' },
    { listen: '127.0.0.1:3' },
  )
  t.match(config, { listen: '127.0.0.1:3', timeoutSeconds: 20, logLevel: 'warn', certDays: 730, advertise: '' })
  const source = (key: string) => entries.find(e => e.key === key)?.source
  t.equal(source('listen'), '--listen')
  t.equal(source('timeout_seconds'), 'RKFS_TIMEOUT_SECONDS')
  t.equal(source('log_level'), `${join(home, 'config.toml')}:4`)
  t.equal(source('cert_days'), 'built-in')
})

t.test('without a file and without a home', async t => {
  t.match(loadConfig('/nonexistent', {}).config, { listen: '127.0.0.1:7400', timeoutSeconds: 30, logLevel: 'info' })
})

const bad: readonly [text: string, place: string, word: RegExp][] = [
  ['lisen = "x:1"\n', ':1', /unknown key "lisen": known are listen, /],
  ['\n\n[listen]\nx = 1\n', ':3', /listen must be HOST:PORT/],
  ['listen = "nowhere"\n', ':1', /listen must be HOST:PORT.*\(given: "nowhere"\)/],
  ['listen = "host:70000"\n', ':1', /listen must be HOST:PORT/],
  ['# x\ntimeout_seconds = 0\n', ':2', /timeout_seconds must be a whole number from 1 to 3600 \(given: 0\)/],
  ['timeout_seconds = 1.5\n', ':1', /whole number/],
  ['log_level = "loud"\n', ':1', /log_level must be one of debug, info, warn, error/],
  ['name = "a b"\n', ':1', /name must be/],
  ['cert_days = "x"\n', ':1', /cert_days must be/],
  ['listen = \n', ':1:', /not valid TOML/],
]
for (const [text, place, word] of bad) {
  t.test(`config.toml: ${JSON.stringify(text)}`, async t => {
    const home = t.testdir({ 'config.toml': text })
    try {
      loadConfig(home, {})
      t.fail('must be refused')
    } catch (error) {
      t.ok(error instanceof RkfsError && error.code === 'usage')
      const { message } = error as Error
      t.match(message, word)
      t.ok(message.startsWith(`${join(home, 'config.toml')}${place}`), message)
      t.notMatch(message, /\n/)
    }
  })
}

t.test('bad values in the environment and flags name their place', async t => {
  t.throws(() => loadConfig('/nonexistent', { RKFS_CERT_DAYS: 'x' }), {
    message: /^RKFS_CERT_DAYS: cert_days must be .*given: "x"/,
  })
  t.throws(() => loadConfig('/nonexistent', {}, { log_level: 'x' }), { message: /^--log-level: log_level must be/ })
})

t.test('addresses', async t => {
  t.same(parseAddress('[::1]:7400'), { host: '::1', port: 7400 })
  t.same(parseAddress('a.example.org:0'), { host: 'a.example.org', port: 0 })
  for (const text of ['', 'host', 'host:', ':1', '::1:7400', 'a b:1', 'host:1x', 'host:65536', 7400]) {
    t.equal(parseAddress(text), undefined, String(text))
  }
})

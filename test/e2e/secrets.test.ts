/** Tokens and keys are nowhere where another user of the machine, or a reader of the logs, could find them. */
import { appendFileSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import t from 'tap'
import { decodeToken } from '../../src/adapters/pki/token.js'
import { clusterOf, type Machine } from './support/cluster.js'

const cluster = clusterOf(t)

/** What others may read: certificates are shown to everybody who connects. */
const publicFiles = /^csp\/(signcerts|cacerts)(\/[^/]+\.pem)?$|^csp$/

function below(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map(each => join(each.parentPath, each.name))
}

/** Processes that show any of these texts in their arguments or their environment. */
function processesWith(texts: readonly string[]): string[] {
  return readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid)) return false
    return ['cmdline', 'environ'].some(file => {
      try {
        const content = readFileSync(`/proc/${pid}/${file}`, 'latin1')
        return texts.some(text => content.includes(text))
      } catch {
        return false // it ended meanwhile
      }
    })
  })
}

/** A key's PEM without its first and last lines, which all keys have. */
function bodyOf(pem: string): string {
  return pem.split('\n')[1]!
}

const [a, b] = [await cluster.machine('a'), await cluster.machine('b')] as [Machine, Machine]
for (const { home } of [a, b]) appendFileSync(join(home, 'config.toml'), 'log_level = "debug"\n')
await a.must('channel', 'create', 'demo')
const text = await a.must('member', 'invite', 'demo')
await b.must('join', text)
for (const machine of [a, b]) await machine.mount()
await cluster.agree([a, b])
t.equal((await a.shell('echo secret > file; sync file')).code, 0)

const { secret } = decodeToken(text, 0)
const keys = below(join(a.home, 'csp/keystore')).map(path => bodyOf(readFileSync(path, 'latin1')))
const encodings = ['latin1', 'hex', 'base64', 'base64url'] as const
const secrets = [text, ...encodings.map(encoding => Buffer.from(secret).toString(encoding)), ...keys]

await t.test('in no process list, environment, log or other file', async t => {
  t.equal(keys.length, 2, 'the node has a key, and the channel')
  t.same(processesWith([text, ...keys]), [])
  for (const { home, name } of [a, b]) {
    const found = below(home).filter(path => {
      if (!lstatSync(path).isFile() || path.includes('/keystore/')) return false
      const content = readFileSync(path, 'latin1')
      return secrets.some(each => content.includes(each))
    })
    t.same(found, [], name)
  }
})

await t.test('a home is its owner’s alone, file by file', async t => {
  for (const { home, name } of [a, b]) {
    t.equal(lstatSync(home).mode & 0o777, 0o700, name)
    const open = below(home).filter(path => {
      return (lstatSync(path).mode & 0o077) !== 0 && !publicFiles.test(relative(home, path))
    })
    t.same(
      open,
      ['config.toml'].map(each => join(home, each)),
      `${name}: the settings are the user's own file`,
    )
    t.equal(lstatSync(join(home, 'control.sock')).mode & 0o777, 0o600)
  }
})

import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { readError } from '../../base/system-error.js'

/** A key that is missing or cannot be used, and what to do. */
export interface LostKey {
  readonly found: string
  readonly remedy: string
}

/** For a node's key that is gone for good. */
export const nodeKeyRemedy =
  'put it back (is its disk mounted?); no other key is made in its place. If it is gone for good, this machine joins as a ' +
  'new one: move the home away, and ask for a new invitation'
/** For the key of a channel's authority that is gone for good. */
export const authorityKeyRemedy =
  'nobody can be invited, and no certificate renewed. Put it back from a copy; without one the channel goes on until the ' +
  'certificates end'

/** For a key and a certificate that do not belong together. */
export const strangerRemedy = "one of the two is another node's: put the right one back"

/** What of a home tells that it had a key once; undefined: nothing. The keys' folder may be missing, too. */
export function tracesOfKey(home: string): string | undefined {
  const csp = join(home, 'csp')
  const certificates = namesIn(join(csp, 'signcerts')).filter(name => name.endsWith('.pem'))
  const authorities = namesIn(join(csp, 'keystore')).filter(name => name.endsWith('-ca.pem'))
  const folders = namesIn(join(home, 'channels')).filter(name => !name.startsWith('.'))
  if (certificates.length > 0) return `certificates for it (csp/signcerts: ${certificates.join(', ')})`
  if (folders.length > 0) return `channels (channels: ${folders.join(', ')})`
  return authorities.length > 0 ? `keys of authorities (csp/keystore: ${authorities.join(', ')})` : undefined
}

/** What is wrong with a home's own key; undefined: it is sound, or none was made yet. */
export function lostNodeKey(home: string): LostKey | undefined {
  const path = join(home, 'csp', 'keystore', 'node.pem')
  const key = readKey(path, nodeKeyRemedy)
  if (key === 'missing') {
    const traces = tracesOfKey(home)
    if (traces === undefined) return undefined
    return { found: `${path} is missing, while this home has ${traces}`, remedy: nodeKeyRemedy }
  }
  return 'found' in key ? key : undefined
}

/** Whether a channel's certificate is of another key than this home's. Undefined: it is not, or one of them is missing or damaged. */
export function strangeCertificate(home: string, channel: string): LostKey | undefined {
  const path = join(home, 'csp', 'signcerts', `${channel}.pem`)
  const keyPath = join(home, 'csp', 'keystore', 'node.pem')
  const certificate = certificateAt(path)
  const key = readKey(keyPath, nodeKeyRemedy)
  if (certificate === undefined || key === 'missing' || 'found' in key || certificate.checkPrivateKey(key))
    return undefined
  return { found: `${keyPath} is not the key of ${path}`, remedy: strangerRemedy }
}

/**
 * What is wrong with the key of a channel's authority; undefined: it is sound. That it is missing is wrong on the channel's
 * owner alone, which is for the caller to know.
 */
export function lostAuthorityKey(home: string, channel: string): LostKey | undefined {
  const path = join(home, 'csp', 'keystore', `${channel}-ca.pem`)
  const key = readKey(path, authorityKeyRemedy)
  if (key === 'missing') {
    return { found: `${path}, the key of the channel's authority, is missing`, remedy: authorityKeyRemedy }
  }
  if ('found' in key) return key
  const ca = certificateAt(join(home, 'csp', 'cacerts', `${channel}.pem`))
  if (ca === undefined || ca.checkPrivateKey(key)) return undefined
  return { found: `${path} is not the key of the channel's authority`, remedy: authorityKeyRemedy }
}

/** A key, or what is wrong with its file; with `remedy` where that alone helps. */
function readKey(path: string, remedy: string): KeyObject | LostKey | 'missing' {
  let pem: Buffer
  try {
    pem = readFileSync(path)
    const mode = statSync(path).mode & 0o777
    if (mode !== 0o600) return { found: wrongMode(path, mode), remedy: `chmod 600 ${path}` }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing'
    return { found: `${path} cannot be read: ${readError(error)}`, remedy }
  }
  try {
    return createPrivateKey(pem)
  } catch {
    return { found: damagedKey(path), remedy }
  }
}

/** What OpenSSL says of it tells nobody anything. */
export function damagedKey(path: string): string {
  return `${path} is damaged: it is not a private key in PEM form`
}

/** A key that others may read or write, or its owner may not, is not used. */
export function wrongMode(path: string, mode: number): string {
  return `${path} has mode ${mode.toString(8).padStart(4, '0')}, not 0600`
}

function certificateAt(path: string): X509Certificate | undefined {
  try {
    return new X509Certificate(readFileSync(path))
  } catch {
    // it is missing or damaged: who looks at certificates says so
    return undefined
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}

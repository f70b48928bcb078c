import { createPrivateKey, type KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { RkfsError, messageOf } from '../../base/errors.js'
import type { MemberId } from '../../base/ids.js'
import { fsyncDirectory } from '../host/atomic-file.js'
import { authorityFrom, type Authority } from './authority.js'
import { authorityKeyRemedy, damagedKey, nodeKeyRemedy, strangerRemedy, tracesOfKey } from './lost-keys.js'
import { channelIdOfCa, memberIdOfKey } from './member-id.js'
import { readIfThere, readPrivate, replaceFile } from './private-file.js'
import { isSignedBy, readCertificate, verifyMemberCertificate } from './verify.js'
import { generateKeyPem } from './web-crypto.js'

/** A node's own key, the same in all its channels. */
export interface NodeKey {
  readonly memberId: MemberId
  /** PKCS #8. */
  readonly pem: string
  readonly key: KeyObject
}

/** What a node is in one channel. */
export interface ChannelIdentity {
  readonly channelId: string
  readonly memberId: MemberId
  /** The node's name in its certificate. */
  readonly name: string
  readonly notAfter: Date
  readonly certificatePem: string
  readonly keyPem: string
  readonly caPem: string
}

/** The identity files under a node's home, `csp/` (DESIGN §7). Files that are there already are used as they are. */
export class CspHome {
  readonly #folder: string

  constructor(home: string) {
    this.#folder = join(home, 'csp')
  }

  get nodeKeyPath(): string {
    return join(this.#folder, 'keystore', 'node.pem')
  }
  authorityKeyPath(channel: string): string {
    return join(this.#folder, 'keystore', `${channel}-ca.pem`)
  }
  certificatePath(channel: string): string {
    return join(this.#folder, 'signcerts', `${channel}.pem`)
  }
  caPath(channel: string): string {
    return join(this.#folder, 'cacerts', `${channel}.pem`)
  }

  /** Makes the folders, on stable storage. `keystore` is the owner's alone. */
  async ensure(): Promise<void> {
    for (const name of ['signcerts', 'cacerts']) await mkdir(join(this.#folder, name), { recursive: true, mode: 0o755 })
    const keystore = join(this.#folder, 'keystore')
    await mkdir(keystore, { recursive: true, mode: 0o700 })
    await chmod(keystore, 0o700)
    for (const folder of [this.#folder, dirname(this.#folder)]) fsyncDirectory(folder)
  }

  /** The node's key; made at the first use, `report`ed where there was one before. Throws `refused` for a key file that others can read, or that was there once. */
  async nodeKey(report: (words: string) => void = () => undefined): Promise<NodeKey> {
    // before the first key there is no folder for it
    const wasThere = existsSync(dirname(this.nodeKeyPath))
    await this.ensure()
    let pem = await readPrivate(this.nodeKeyPath)
    if (pem === undefined) {
      this.#assertUnused()
      if (wasThere) {
        report(
          `${this.nodeKeyPath} is gone: a new key is made, since this home has no part in a channel; the node has another id now`,
        )
      }
      pem = await generateKeyPem()
      await replaceFile(this.nodeKeyPath, pem)
    }
    const key = readKey(pem, this.nodeKeyPath, nodeKeyRemedy)
    return { pem, key, memberId: memberIdOfKey(key) }
  }

  /** A key is made where none was, not in the place of one: with another this node would be a stranger in its channels. */
  #assertUnused(): void {
    const found = tracesOfKey(dirname(this.#folder))
    if (found === undefined) return
    throw new RkfsError('refused', `${this.nodeKeyPath} is missing, while this home has ${found}: ${nodeKeyRemedy}`)
  }

  /** When this node's certificate in a channel ends, or ended; undefined without one. Throws `corrupt`. */
  async certificateEnd(channel: string): Promise<Date | undefined> {
    const pem = await readIfThere(this.certificatePath(channel))
    return pem === undefined ? undefined : new Date(readCertificate(pem, this.certificatePath(channel)).validTo)
  }

  /** Stores a channel's CA and this node's certificate. */
  async storeMembership(channel: string, caPem: string, certificatePem: string): Promise<void> {
    await this.ensure()
    await replaceFile(this.caPath(channel), caPem, 0o644)
    await replaceFile(this.certificatePath(channel), certificatePem, 0o644)
  }

  /** Stores the CA that this node made, key first, so that no CA is ever without its key. */
  async storeAuthority(channel: string, authority: Authority): Promise<void> {
    await this.ensure()
    await replaceFile(this.authorityKeyPath(channel), authority.keyPem)
    await replaceFile(this.caPath(channel), authority.caPem, 0o644)
  }

  /** The channel's CA with its key; undefined on a node that is not the owner. */
  async authority(channel: string): Promise<Authority | undefined> {
    const keyPem = await readPrivate(this.authorityKeyPath(channel))
    const caPem = await readIfThere(this.caPath(channel))
    if (keyPem === undefined || caPem === undefined) return undefined
    readKey(keyPem, this.authorityKeyPath(channel), authorityKeyRemedy)
    return authorityFrom(caPem, keyPem, this.caPath(channel))
  }

  /**
   * This node's identity in a channel, checked at `now` (milliseconds since 1970); undefined when it has neither
   * certificate nor CA. Throws `refused` or `corrupt` with the file's name and the remedy.
   */
  async identity(channel: string, now: number): Promise<ChannelIdentity | undefined> {
    const certificatePem = await readIfThere(this.certificatePath(channel))
    const caPem = await readIfThere(this.caPath(channel))
    if (certificatePem === undefined && caPem === undefined) return undefined
    if (certificatePem === undefined) throw missing(this.certificatePath(channel), "this node's certificate")
    if (caPem === undefined) throw missing(this.caPath(channel), "the channel's CA certificate")
    const keyPem = await readPrivate(this.nodeKeyPath)
    if (keyPem === undefined) throw missing(this.nodeKeyPath, `the key of ${this.certificatePath(channel)}`)
    const certificate = readCertificate(certificatePem, this.certificatePath(channel))
    const ca = readCertificate(caPem, this.caPath(channel))
    if (!certificate.checkPrivateKey(readKey(keyPem, this.nodeKeyPath, nodeKeyRemedy))) {
      throw new RkfsError(
        'refused',
        `${this.nodeKeyPath} is not the key of ${this.certificatePath(channel)}: ${strangerRemedy}`,
      )
    }
    if (!isSignedBy(certificate, ca)) {
      throw new RkfsError('refused', `${this.certificatePath(channel)} was not signed by ${this.caPath(channel)}`)
    }
    const channelId = channelIdOfCa(ca)
    try {
      return { ...verifyMemberCertificate(certificate, ca, channelId, now), channelId, certificatePem, keyPem, caPem }
    } catch (cause) {
      throw new RkfsError('refused', `${this.certificatePath(channel)}: ${messageOf(cause)}`, { cause })
    }
  }
}

function missing(path: string, what: string): RkfsError {
  return new RkfsError('refused', `${path} is missing: put ${what} there, or ask the owner for a new invitation`)
}

function readKey(pem: string, path: string, remedy: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new RkfsError('corrupt', `${damagedKey(path)}: ${remedy}`, { cause })
  }
}

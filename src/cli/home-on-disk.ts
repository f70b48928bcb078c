import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageVersion } from '../adapters/host/version.js'
import { memberIdOfKey } from '../adapters/pki/member-id.js'
import { channelsOnDisk } from '../daemon/stopped-channels.js'
import type { StatusReport } from '../daemon/control-protocol.js'
import { failedStatus } from '../daemon/failed-status.js'
import { loadConfig } from '../daemon/config.js'

/** What `status --json` says while no node runs: the report's form, `running` false, and the channels found on disk. */
export interface OfflineStatus extends StatusReport {
  readonly running: false
  readonly channelsOnDisk: readonly string[]
}

export async function statusOnDisk(home: string): Promise<OfflineStatus> {
  const found = channelsOnDisk(home, undefined)
  return {
    node: {
      id: nodeIdOnDisk(home) ?? '',
      version: packageVersion(),
      listen: '',
      home,
      name: nameOnDisk(home),
      pid: 0,
      uptimeSeconds: 0,
      memory: null,
    },
    channels: found.flatMap(({ name, problem }) => (problem === null ? [] : [failedStatus(name, problem)])),
    closed: found.filter(c => c.state === 'closed').map(c => c.name),
    running: false,
    channelsOnDisk: found.map(c => c.name),
  }
}

/** The node's id, from its key or, where that is lost, from a certificate for it; undefined before its first start. */
export function nodeIdOnDisk(home: string): string | undefined {
  try {
    return memberIdOfKey(createPrivateKey(readFileSync(join(home, 'csp', 'keystore', 'node.pem'))))
  } catch {
    return certificatesOnDisk(home).find(({ member }) => member !== undefined)?.member
  }
}

export interface CertificateOnDisk {
  readonly channel: string
  readonly path: string
  /** Undefined, as both times: the file is no certificate. */
  readonly member: string | undefined
  readonly validFrom: Date | undefined
  readonly validTo: Date | undefined
}

/** This node's certificate in each of its channels. */
export function certificatesOnDisk(home: string): CertificateOnDisk[] {
  const folder = join(home, 'csp', 'signcerts')
  let names: string[]
  try {
    names = readdirSync(folder).filter(name => name.endsWith('.pem'))
  } catch {
    return []
  }
  return names.sort().map(name => {
    const path = join(folder, name)
    const channel = name.slice(0, -'.pem'.length)
    try {
      const certificate = new X509Certificate(readFileSync(path))
      const [validFrom, validTo] = [new Date(certificate.validFrom), new Date(certificate.validTo)]
      return { channel, path, member: memberIdOfKey(certificate.publicKey), validFrom, validTo }
    } catch {
      return { channel, path, member: undefined, validFrom: undefined, validTo: undefined }
    }
  })
}

function nameOnDisk(home: string): string {
  try {
    return loadConfig(home, process.env).config.name
  } catch {
    return ''
  }
}

import { isIPv6 } from 'node:net'

import { RkfsError } from '../../base/errors.js'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Reads `host:port` or `[ipv6]:port`. Throws `usage`. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (!host || port > 65535 || (match?.[1] && !isIPv6(match[1]))) {
    throw new RkfsError('usage', `bad address ${JSON.stringify(text)}: it must be HOST:PORT, such as 127.0.0.1:7400`)
  }
  return { host, port }
}

/** `host:port`, with an IPv6 address in brackets. */
export function formatAddress(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * From where an address can be reached, as far as its text tells: `wildcard` is none that anybody could connect to
 * (`0.0.0.0`), `loopback` reaches the machine itself.
 */
export function addressReach(address: string): 'wildcard' | 'loopback' | 'network' {
  const { host } = parseAddress(address)
  if (host === '0.0.0.0' || /^[0:]*:[0:]*$/.test(host)) return 'wildcard'
  return /^(127(\.\d+){3}|localhost|(.*\.)?localhost|[0:]*:0*1|::ffff:127\..*)$/i.test(host) ? 'loopback' : 'network'
}

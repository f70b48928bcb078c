import { addressReach } from '../adapters/rpc/address.js'

/** What to tell somebody who is about to let others in at an address that they cannot connect to; undefined when it is well. */
export function reachWarning(address: string): string | undefined {
  const reach = addressReach(address)
  if (reach === 'network') return undefined
  const why =
    reach === 'wildcard'
      ? `${address} is no address that another machine could connect to`
      : `other machines cannot reach ${address}`
  const remedy =
    reach === 'wildcard'
      ? 'set `advertise` in config.toml (or RKFS_ADVERTISE) to HOST:PORT as they reach this machine, `rkfs stop`, and start the node again'
      : '`rkfs stop`, and start the node with --listen HOST:PORT, or with `listen` (and `advertise`, where it differs) in config.toml'
  return `rkfs: warning: ${why}; before a member joins from there: ${remedy}`
}

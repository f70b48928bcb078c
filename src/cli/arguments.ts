import { InvalidArgumentError } from 'commander'
import { isChannelName } from '../base/ids.js'
import { RkfsError } from '../base/errors.js'

const units: Record<string, number> = { '': 1, s: 1, m: 60, h: 3600, d: 86400 }

/** What `parseDuration` accepts, for help texts. */
export const timeForms = 'as 90, 90s, 15m, 24h or 7d'

/** `90`, `90s`, `15m`, `24h`, `7d` in seconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,7})([smhd]?)$/.exec(text)
  if (match === null) throw new InvalidArgumentError('It must be a time such as 90, 90s, 15m, 24h or 7d.')
  return Number(match[1]) * units[match[2]!]!
}

export function parseWholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** For options that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value]
}

export function checkChannelName(name: string): string {
  if (isChannelName(name)) return name
  throw new RkfsError(
    'usage',
    `${JSON.stringify(name)} is no channel name: use 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first`,
  )
}

import type { Progress } from './control-protocol.js'

/** As a part of a sentence: `fetching the files, 120 of 204 MiB`. */
export function progressWords({ what, done, total, unit }: Progress): string {
  if (total <= 0) return what
  return unit === 'bytes' ? `${what}, ${byteWords(done, total)}` : `${what}, ${done} of ${total} ${unit}`
}

/** Both in the unit of the larger one. */
function byteWords(done: number, total: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (total / 1024 ** unit >= 1024 && unit < units.length - 1) unit++
  const amount = (bytes: number): string => {
    const value = bytes / 1024 ** unit
    return unit === 0 || value >= 100 ? String(Math.round(value)) : value.toFixed(1)
  }
  return `${amount(Math.min(done, total))} of ${amount(total)} ${units[unit]}`
}

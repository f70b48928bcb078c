import { KiB, MiB } from '../base/limits.js'
import type { SpaceSettings } from '../channel/space-policy.js'

const units: Readonly<Record<string, number>> = { '': 1, k: KiB, m: MiB, g: 1024 * MiB, t: MiB * MiB }

/** Bytes of `64MiB`, `64M`, `1.5 GiB` or a bare number; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,3})?) ?(?:([kmgt])(?:i?b)?|b)?$/i.exec(text)
  if (match === null) return undefined
  const bytes = Math.floor(Number(match[1]) * units[(match[2] ?? '').toLowerCase()]!)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The part of `2%`, as a number up to 1; undefined for anything else. */
export function parsePercent(text: string): number | undefined {
  const match = /^(\d{1,2}(?:\.\d{1,3})?) ?%$/.exec(text)
  return match === null ? undefined : Number(match[1]) / 100
}

/** `auto` stands for the default. */
export function spaceSettings({ keep, minFree }: { readonly keep: string; readonly minFree: string }): SpaceSettings {
  return { keepBytes: parseSize(keep), minFreeBytes: parseSize(minFree), minFreePart: parsePercent(minFree) }
}

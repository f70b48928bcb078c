import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { defaultNodeName } from '../adapters/host/machine.js'
import { RkfsError } from '../base/errors.js'
import { defaultTimeoutSeconds, MiB } from '../base/limits.js'
import { readError } from '../base/system-error.js'
import { timeoutSecondsMax } from './mount-options.js'
import { parsePercent, parseSize } from './size.js'

export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

/** What is in force for a node. */
export interface Config {
  /** `host:port` for other members; an IPv6 host in brackets; port 0: any free one. */
  readonly listen: string
  /** The address other members are told, where it differs from `listen`; empty: `listen`. */
  readonly advertise: string
  /** The node's name for people. */
  readonly name: string
  /** How long a change waits for a majority, unless the mount says otherwise. */
  readonly timeoutSeconds: number
  readonly logLevel: LogLevel
  /** How long certificates that this node issues are valid. */
  readonly certDays: number
  /** Log and dead bytes beside the live data: a size, or `auto`. */
  readonly keep: string
  /** What is kept free on the disk: a size, a percentage, or `auto`. */
  readonly minFree: string
}

export type ConfigKey =
  'listen' | 'advertise' | 'name' | 'timeout_seconds' | 'log_level' | 'cert_days' | 'keep' | 'min_free'
export type ConfigFlags = { readonly [K in ConfigKey]?: string }

/** One setting, its value and where it came from: `built-in`, `<file>:<line>`, `RKFS_…` or `--flag`. */
export interface ConfigEntry {
  readonly key: ConfigKey
  readonly value: string | number
  readonly source: string
}

interface Setting {
  readonly builtIn: () => string | number
  readonly expected: string
  /** The value in force, or undefined if it is not acceptable. Text from the environment and flags is read as numbers where due. */
  read(value: unknown): string | number | undefined
}

const settings: { readonly [K in ConfigKey]: Setting } = {
  listen: {
    builtIn: () => '127.0.0.1:7400',
    expected: 'HOST:PORT, e.g. "0.0.0.0:7400" or "[::1]:7400"',
    read: value => (parseAddress(value) === undefined ? undefined : (value as string)),
  },
  advertise: {
    builtIn: () => '',
    expected: 'HOST:PORT as other members reach this node, e.g. "files.example.org:7400", or "" for the listen address',
    read: value => (value === '' || (parseAddress(value)?.port ?? 0) > 0 ? (value as string) : undefined),
  },
  name: {
    builtIn: defaultNodeName,
    expected: '1 to 64 letters, digits, dots, hyphens and underscores',
    read: value => (typeof value === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(value) ? value : undefined),
  },
  timeout_seconds: {
    builtIn: () => defaultTimeoutSeconds,
    expected: `a whole number from 1 to ${timeoutSecondsMax}`,
    read: value => wholeNumber(value, 1, timeoutSecondsMax),
  },
  log_level: {
    builtIn: () => 'info',
    expected: `one of ${logLevels.join(', ')}`,
    read: value => logLevels.find(level => level === value),
  },
  cert_days: {
    builtIn: () => 730,
    expected: 'a whole number from 1 to 3650',
    read: value => wholeNumber(value, 1, 3650),
  },
  keep: {
    builtIn: () => 'auto',
    expected: 'a size from "4MiB" on, e.g. "256MiB", or "auto"',
    read: value => (value === 'auto' || (sizeOf(value) ?? 0) >= keepBytesLeast ? String(value) : undefined),
  },
  min_free: {
    builtIn: () => 'auto',
    expected: 'a size, e.g. "256MiB", a part of the disk up to "50%", or "auto"',
    read: value =>
      value === 'auto' || sizeOf(value) !== undefined || partOf(value) <= 0.5 ? String(value) : undefined,
  },
}
export const configKeys = Object.keys(settings) as ConfigKey[]

const keepBytesLeast = 4 * MiB

const environmentName = (key: ConfigKey): string => `RKFS_${key.toUpperCase()}`
const flagName = (key: ConfigKey): string => `--${key.replaceAll('_', '-')}`

/** Built-in < `config.toml` in the home < `RKFS_*` < flags. Fails with `usage`, naming place, key and what is allowed. */
export function loadConfig(
  home: string,
  environment: NodeJS.ProcessEnv,
  configFlags: ConfigFlags = {},
): { config: Config; entries: ConfigEntry[] } {
  const file = readConfigFile(join(home, 'config.toml'))
  const entries = configKeys.map((key): ConfigEntry => {
    const fromFlag = configFlags[key]
    if (fromFlag !== undefined) return entry(key, fromFlag, flagName(key))
    const fromEnvironment = environment[environmentName(key)]
    if (fromEnvironment !== undefined) return entry(key, fromEnvironment, environmentName(key))
    const fromFile = file.get(key)
    if (fromFile !== undefined) return entry(key, fromFile.value, fromFile.place)
    return { key, value: settings[key].builtIn(), source: 'built-in' }
  })
  const value = <T>(key: ConfigKey): T => entries.find(e => e.key === key)!.value as T
  return {
    config: {
      listen: value('listen'),
      advertise: value('advertise'),
      name: value('name'),
      timeoutSeconds: value('timeout_seconds'),
      logLevel: value('log_level'),
      certDays: value('cert_days'),
      keep: value('keep'),
      minFree: value('min_free'),
    },
    entries,
  }
}

function sizeOf(value: unknown): number | undefined {
  return typeof value === 'string' || typeof value === 'number' ? parseSize(String(value)) : undefined
}

function partOf(value: unknown): number {
  return (typeof value === 'string' ? parsePercent(value) : undefined) ?? Infinity
}

/** Host (without brackets) and port of `host:port`, or undefined. */
export function parseAddress(value: unknown): { host: string; port: number } | undefined {
  if (typeof value !== 'string') return undefined
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(value)
  if (match === null || Number(match[3]) > 65535) return undefined
  return { host: (match[1] ?? match[2])!, port: Number(match[3]) }
}

function entry(key: ConfigKey, given: unknown, source: string): ConfigEntry {
  const value = settings[key].read(given)
  if (value !== undefined) return { key, value, source }
  throw new RkfsError('usage', `${source}: ${key} must be ${settings[key].expected} (given: ${JSON.stringify(given)})`)
}

function readConfigFile(path: string): Map<ConfigKey, { value: unknown; place: string }> {
  const found = new Map<ConfigKey, { value: unknown; place: string }>()
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return found
    throw new RkfsError('usage', `${path} cannot be read: ${readError(error)}`, { cause: error })
  }
  let table: Record<string, unknown>
  try {
    table = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0]!.replace(/^Invalid TOML document: /, '')
    throw new RkfsError('usage', `${path}:${error.line}:${error.column}: not valid TOML: ${what}`, { cause: error })
  }
  for (const [key, value] of Object.entries(table)) {
    const place = `${path}:${lineOf(text, key)}`
    if (!Object.hasOwn(settings, key)) {
      throw new RkfsError('usage', `${place}: unknown key ${JSON.stringify(key)}: known are ${configKeys.join(', ')}`)
    }
    found.set(key as ConfigKey, { value, place })
  }
  return found
}

/** The line on which a top-level key stands, from 1; a section's is that of its header. */
function lineOf(text: string, key: string): number {
  const quoted = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const start = new RegExp(`^\\s*(?:\\[\\[?\\s*)?["']?${quoted}["']?\\s*[=.\\]]`)
  return text.split('\n').findIndex(line => start.test(line)) + 1
}

function wholeNumber(value: unknown, least: number, most: number): number | undefined {
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  return Number.isInteger(number) && (number as number) >= least && (number as number) <= most
    ? (number as number)
    : undefined
}

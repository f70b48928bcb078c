import { readFileSync } from 'node:fs'
import { commandLine } from '../adapters/host/process.js'
import { loadConfig, type ConfigEntry, type ConfigFlags } from '../daemon/config.js'

/** A setting that a node has from its environment or its flags, and that one without them would not have. */
export interface PassingSetting {
  readonly now: ConfigEntry
  /** What is in force without them: from `config.toml`, or built in. */
  readonly later: ConfigEntry
}

/** What somebody gave a node beside its home: variables of the environment, and flags. */
export interface GivenSettings {
  readonly environment: NodeJS.ProcessEnv
  readonly flags: ConfigFlags
}

/** The settings of a home that a service manager, which has neither that environment nor those flags, starts without. */
export function passingSettings(home: string, { environment, flags }: GivenSettings): PassingSetting[] {
  const later = loadConfig(home, {}).entries
  return loadConfig(home, environment, flags)
    .entries.map((now, i) => ({ now, later: later[i]! }))
    .filter(({ now, later }) => now.value !== later.value)
}

/** What a node that runs was started with. Empty when it is gone. */
export function givenTo(pid: number): GivenSettings {
  return { environment: environmentOf(pid), flags: flagsIn(commandLine(pid)) }
}

function environmentOf(pid: number): NodeJS.ProcessEnv {
  try {
    const words = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    const pairs = words.filter(word => word.includes('=')).map(word => splitAt(word, word.indexOf('=')))
    return Object.fromEntries(pairs)
  } catch {
    return {}
  }
}

/** Those of `rkfs serve`, as `--listen X` or `--listen=X`. */
export function flagsIn(words: readonly string[]): ConfigFlags {
  const flag = (name: string): string | undefined => {
    const at = words.findLastIndex(word => word === name || word.startsWith(`${name}=`))
    if (at < 0) return undefined
    return words[at] === name ? words[at + 1] : words[at]!.slice(name.length + 1)
  }
  return { listen: flag('--listen'), name: flag('--name'), log_level: flag('--log-level') }
}

function splitAt(text: string, at: number): [string, string] {
  return [text.slice(0, at), text.slice(at + 1)]
}

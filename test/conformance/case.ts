import type { Actor } from './kit/actor.js'

/** What a case may lack in an environment; it is then skipped. */
export type Need =
  /** Other identities, owners, device nodes. */
  | 'root'
  /** A mount without `nodev`. */
  | 'device nodes'
  /** A mount without `nosuid` and `noexec`. */
  | 'set-uid programs'
  | 'programs'
  /** A mount without `noatime`. */
  | 'access times'
  /** fs.protected_hardlinks of this machine. */
  | 'protected hardlinks'
  /** Asked for with `--large`. */
  | 'large'

export interface Context {
  /** The directory of this case: fresh, empty, mode 0777, and the working directory. */
  readonly directory: string
  /** Another process, reused by all cases; the same number is the same process. */
  actor(number?: 0 | 1): Promise<Actor>
}

export type Body = (context: Context) => void | Promise<void>

export interface Options {
  readonly needs?: readonly Need[]
  /** tmpfs deviates: the case is proven on ext4 in its place. */
  readonly proof?: 'ext4'
  /** The time it may take, where `caseSeconds` is too short. */
  readonly seconds?: number
}

export interface Case extends Options {
  readonly group: string
  readonly name: string
  /** The rule in the standard or the manual page. */
  readonly rule: string
  readonly run: Body
}

type Add = (name: string, rule: string, run: Body, options?: Options) => void

/** A group of cases: one system call, or one subject. What `common` says is true of each. */
export function cases(group: string, define: (add: Add) => void, common: Options = {}): readonly Case[] {
  const list: Case[] = []
  define((name, rule, run, options = {}) => {
    const needs = [...new Set([...(common.needs ?? []), ...(options.needs ?? [])])]
    list.push({ group, name, rule, run, ...common, ...options, needs })
  })
  return list
}

import { RkfsError } from '../base/errors.js'
import type { ControlVerb, ControlVerbs } from './control-protocol.js'

type Check = { readonly expected: string; readonly optional: boolean; accepts(value: unknown): boolean }

const TEXT_CHARS_MAX = 512 * 1024

const text: Check = {
  expected: 'a text without NUL',
  optional: false,
  accepts: value => typeof value === 'string' && value.length <= TEXT_CHARS_MAX && !value.includes('\0'),
}
const flag: Check = { expected: 'true or false', optional: false, accepts: value => typeof value === 'boolean' }
const count: Check = {
  expected: 'a whole number from 0',
  optional: false,
  accepts: value => Number.isSafeInteger(value) && (value as number) >= 0,
}
const seconds: Check = {
  expected: 'a number of seconds from 0',
  optional: false,
  accepts: value => typeof value === 'number' && Number.isFinite(value) && value >= 0,
}
const texts: Check = {
  expected: 'a list of texts',
  optional: false,
  accepts: value => Array.isArray(value) && value.length <= 1000 && value.every(text.accepts),
}
const counts: Check = {
  expected: 'a list of whole numbers from 0',
  optional: false,
  accepts: value => Array.isArray(value) && value.length <= 10_000 && value.every(count.accepts),
}
const optional = (check: Check): Check => ({ ...check, optional: true })

type Shape<V extends ControlVerb> = { readonly [K in keyof Required<ControlVerbs[V]['args']>]: Check }

const shapes: { readonly [V in ControlVerb]: Shape<V> } = {
  ping: {},
  'channel.meant': { channel: text },
  status: { channel: optional(text) },
  'channel.create': { channel: text },
  'channel.list': {},
  'channel.show': { channel: text },
  'channel.close': { channel: text, force: flag },
  'channel.delete': { channel: text, dryRun: flag },
  'member.invite': { channel: text, expires: seconds },
  'member.add': { channel: text, certificatePem: text, address: text, name: optional(text) },
  'member.remove': { channel: text, member: text },
  'member.fence': { channel: text, member: text },
  'member.lost': { channel: text, member: text },
  'member.address': { channel: text, member: text, address: text },
  'member.list': { channel: text },
  join: { token: text },
  mount: {
    channel: text,
    directory: text,
    options: texts,
    create: flag,
    wait: optional(seconds),
    temporary: optional(flag),
  },
  umount: { directory: text, force: flag, timeout: optional(seconds) },
  sync: { channel: text, all: flag, timeout: seconds },
  verify: { channel: text, deep: flag },
  log: { channel: text, follow: flag, from: optional(count), limit: count },
  conflicts: { channel: text },
  'conflicts.restore': { channel: text, ids: counts },
  'conflicts.discard': { channel: text, ids: counts },
  stop: { force: flag },
}

export function isControlVerb(verb: unknown): verb is ControlVerb {
  return typeof verb === 'string' && Object.hasOwn(shapes, verb)
}

/** The verb's arguments, or an error `usage` that names what is wrong with them. */
export function checkArguments<V extends ControlVerb>(verb: V, args: unknown): ControlVerbs[V]['args'] {
  if (typeof args !== 'object' || args === null || Array.isArray(args)) {
    throw new RkfsError('usage', `${verb}: the arguments must be an object`)
  }
  const shape: Readonly<Record<string, Check>> = shapes[verb]
  for (const name of Object.keys(args)) {
    if (!Object.hasOwn(shape, name))
      throw new RkfsError('usage', `${verb}: unknown argument ${JSON.stringify(name.slice(0, 100))}`)
  }
  for (const [name, check] of Object.entries(shape)) {
    const value = (args as Record<string, unknown>)[name]
    if (value === undefined && check.optional) continue
    if (!check.accepts(value)) throw new RkfsError('usage', `${verb}: ${name} must be ${check.expected}`)
  }
  return args as ControlVerbs[V]['args']
}

/**
 * The three functions of `reflect-metadata` that tsyringe, which `@peculiar/x509` uses, asks for. Must be imported before
 * `@peculiar/x509`. It leaves a polyfill that is there already alone.
 */
type Target = object

const store = new WeakMap<Target, Map<unknown, unknown>>()

function own(key: unknown, target: Target): unknown {
  return store.get(target)?.get(key)
}

const functions = {
  defineMetadata(key: unknown, value: unknown, target: Target): void {
    const entries = store.get(target) ?? new Map<unknown, unknown>()
    entries.set(key, value)
    store.set(target, entries)
  },
  getOwnMetadata: own,
  getMetadata(key: unknown, target: Target): unknown {
    for (let at: Target | null = target; at; at = Object.getPrototypeOf(at) as Target | null) {
      if (store.get(at)?.has(key)) return own(key, at)
    }
    return undefined
  },
}

if (!('getMetadata' in Reflect)) Object.assign(Reflect, functions)

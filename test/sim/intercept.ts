/** An object with some of its methods and properties replaced; the others work on the object itself. */
export function intercept<T extends object>(target: T, replaced: Partial<T>): T {
  const bound = new Map<PropertyKey, unknown>()
  return new Proxy(target, {
    get(_, key) {
      if (Object.hasOwn(replaced, key)) return Reflect.get(replaced, key) as unknown
      const known = bound.get(key)
      if (known !== undefined) return known
      const value = Reflect.get(target, key, target) as unknown
      if (typeof value !== 'function') return value
      const method = (value as (...args: unknown[]) => unknown).bind(target)
      bound.set(key, method)
      return method
    },
    set: (_, key, value) => Reflect.set(target, key, value, target),
  })
}

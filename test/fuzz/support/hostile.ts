/** Input that nobody honest sends: noise, damaged real messages, claims of lengths that are not there. */
import fc from 'fast-check'

type Edit = (bytes: Uint8Array) => Uint8Array

const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))
const at = (bytes: Uint8Array, place: number): number => Math.floor(place * bytes.length)
const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

/** Lengths and numbers at their limits, in the forms that a decoder may read them in. */
const claims = [
  [0xff],
  [0, 0],
  [0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0x7f],
  [0x7f, 0xff, 0xff, 0xff],
  [0, 0, 0, 0x40],
  [0, 0, 0, 0, 0, 0, 0x20, 0],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0, 0, 0, 0, 0, 0, 0, 0x80],
  // varints: 2^31, 2^63, one that does not end
  [0x80, 0x80, 0x80, 0x80, 0x08],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  Array.from({ length: 12 }, () => 0xff),
].map(bytes => Uint8Array.from(bytes))

function edits(samples: readonly Uint8Array[]): fc.Arbitrary<Edit> {
  return fc.oneof(
    fc.tuple(place, fc.nat(7)).map(([where, bit]) => (bytes: Uint8Array) => {
      const copy = bytes.slice()
      if (copy.length > 0) copy[at(copy, where)]! ^= 1 << bit
      return copy
    }),
    place.map(where => (bytes: Uint8Array) => bytes.slice(0, at(bytes, where))),
    place.map(where => (bytes: Uint8Array) => bytes.slice(at(bytes, where))),
    fc.tuple(place, fc.constantFrom(...claims)).map(
      ([where, claim]) =>
        (bytes: Uint8Array) =>
          joined(bytes.subarray(0, at(bytes, where)), claim, bytes.subarray(at(bytes, where) + claim.length)),
    ),
    fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 40 })).map(
      ([where, extra]) =>
        (bytes: Uint8Array) =>
          joined(bytes.subarray(0, at(bytes, where)), extra, bytes.subarray(at(bytes, where))),
    ),
    fc.tuple(place, place, fc.integer({ min: 2, max: 60 })).map(([from, to, times]) => (bytes: Uint8Array) => {
      const part = bytes.subarray(at(bytes, Math.min(from, to)), at(bytes, Math.max(from, to)))
      const repeated = Array.from({ length: times }, () => part)
      return joined(bytes.subarray(0, at(bytes, from)), ...repeated, bytes.subarray(at(bytes, from)))
    }),
    fc.tuple(place, place, fc.constantFrom(...samples)).map(
      ([where, there, other]) =>
        (bytes: Uint8Array) =>
          joined(bytes.subarray(0, at(bytes, where)), other.subarray(at(other, there))),
    ),
  )
}

/** Noise, and real messages after some damage. */
export function hostileBytes(samples: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const damaged = fc
    .tuple(fc.constantFrom(...samples), fc.array(edits(samples), { minLength: 0, maxLength: 4 }))
    .map(([sample, chain]) => chain.reduce((bytes, edit) => edit(bytes), sample))
  return fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
    { weight: 1, arbitrary: fc.constantFrom(...claims) },
    { weight: 8, arbitrary: damaged },
  )
}

/** The same for what is read as text: not always UTF-8, and with a care for backtracking. */
export function hostileText(samples: readonly string[]): fc.Arbitrary<string> {
  const repeated = fc
    .tuple(fc.constantFrom(' ', '\n', '[', '{', '"', '\\', 'a', '.', '-', ':', '0', '\u{10ffff}', '\0'), fc.nat(20_000))
    .map(([text, times]) => text.repeat(times))
  return fc.oneof(
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 100 }) },
    { weight: 1, arbitrary: repeated },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...samples), repeated).map(([sample, more]) => sample + more) },
    {
      weight: 6,
      arbitrary: hostileBytes(samples.map(sample => Buffer.from(sample))).map(b => Buffer.from(b).toString()),
    },
  )
}

/** What stands where a number, a text or a list should; as it is written in JSON. */
const oddValues = [
  'null',
  'true',
  '-1',
  '0.5',
  '1e400',
  '-0',
  '9007199254740993',
  '18446744073709551616',
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '"../.."',
  '"__proto__"',
  '[]',
  '[["x"]]',
  '{}',
  '{"toString":1,"valueOf":1}',
  '{"__proto__":{"polluted":true}}',
  '{"length":1e9}',
  '['.repeat(3000) + ']'.repeat(3000),
  `"${'x'.repeat(70_000)}"`,
]

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

function pathsOf(value: Json): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [[]]
  const inner = Object.entries(value).flatMap(([key, each]) => pathsOf(each as Json).map(path => [key, ...path]))
  return [[], ...inner]
}

function written(value: Json, path: readonly (string | number)[], odd: string): string {
  if (path.length === 0) return odd
  const [key, ...rest] = path
  const of = (name: string, each: Json): string =>
    name === String(key) ? written(each, rest, odd) : JSON.stringify(each)
  if (Array.isArray(value)) return `[${value.map((each: Json, i) => of(String(i), each)).join(',')}]`
  const members = Object.entries(value as object).map(
    ([name, each]) => `${JSON.stringify(name)}:${of(name, each as Json)}`,
  )
  return `{${members.join(',')}}`
}

/** A JSON text in which one value is another than it should be, or one more member stands. */
export function hostileJson(samples: readonly object[]): fc.Arbitrary<string> {
  const odd = fc.oneof(fc.constantFrom(...oddValues), fc.json({ maxDepth: 3 }))
  const replaced = samples.flatMap(sample => pathsOf(sample as Json).map(path => ({ sample: sample as Json, path })))
  return fc.oneof(
    fc.tuple(fc.constantFrom(...replaced), odd).map(([{ sample, path }, value]) => written(sample, path, value)),
    fc
      .tuple(fc.constantFrom(...samples), fc.constantFrom('__proto__', 'constructor', 'toString', 'x'), odd)
      .map(([sample, key, value]) => `{${JSON.stringify(key)}:${value},${JSON.stringify(sample).slice(1)}`),
    hostileText(samples.map(sample => JSON.stringify(sample))),
  )
}

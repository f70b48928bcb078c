/** An impossible state. It is never caught to go on: the process that meets it must stop. */
export class AssertionFailure extends Error {
  override name = 'AssertionFailure'
}

/** Stops on a state that no input can bring about (STYLE: two kinds of failure). */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message)
}

/** Ends an exhaustive `switch` over a closed union. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable: ${JSON.stringify(value)}`)
}

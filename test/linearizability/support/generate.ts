import type { Rng } from '../../../src/base/rng.js'
import type { Model } from '../checker.js'
import type { FileInput } from '../file-model.js'
import type { Operation } from '../history.js'

export interface Shape {
  readonly clients: number
  readonly operations: number
  /** One of so many has an unknown outcome; 0: none. */
  readonly unknownOneIn: number
}

/**
 * A history of clients of one atomic object: each call takes effect at one moment between its call and its return. One of
 * unknown outcome takes effect at any later time, or never.
 */
export function atomicHistory<State, Input, Output>(
  rng: Rng,
  model: Model<State, Input, Output>,
  draw: (rng: Rng, number: number) => Input,
  shape: Shape,
): Operation<Input, Output>[] {
  const free = Array.from({ length: shape.clients }, () => 0)
  const calls = Array.from({ length: shape.operations }, (_, number) => {
    const client = rng.below(shape.clients)
    const call = free[client]! + rng.below(20)
    const effect = call + rng.below(20)
    const end = effect + rng.below(20)
    free[client] = end + 1
    const isUnknown = shape.unknownOneIn > 0 && rng.below(shape.unknownOneIn) === 0
    const happens = !isUnknown || rng.below(2) === 0
    const at = isUnknown ? effect + rng.below(100) : effect
    return { client: `c${client}`, input: draw(rng, number), call, at, end, isUnknown, happens }
  })
  let state = model.initial
  const history: Operation<Input, Output>[] = []
  for (const { client, input, call, at: _, end, isUnknown, happens } of calls.sort((a, b) => a.at - b.at)) {
    if (!happens) {
      history.push({ client, input, call })
      continue
    }
    const applied = model.apply(state, input)
    state = applied.state
    history.push(isUnknown ? { client, input, call } : { client, input, call, return: end, output: applied.output })
  }
  return history
}

const paths = ['a', 'b', 'd', 'd/x', 'd/y']

/** Any call on a few names; content is of its own for each. */
export function drawFileInput(rng: Rng, number: number): FileInput {
  const path = paths[rng.below(paths.length)]!
  const to = paths[rng.below(paths.length)]!
  const data = `<${number}>`
  const inputs: readonly FileInput[] = [
    { op: 'mkdir', path: 'd' },
    { op: 'rmdir', path: 'd' },
    { op: 'create', path },
    { op: 'unlink', path },
    { op: 'read', path },
    { op: 'read', path },
    { op: 'stat', path },
    { op: 'list', path: rng.below(2) === 0 ? '' : 'd' },
    { op: 'put', path, data },
    { op: 'put', path, data },
    { op: 'append', path, data },
    { op: 'write', path, offset: rng.below(8), data },
    { op: 'truncate', path, size: rng.below(8) },
    { op: 'rename', path, to },
    { op: 'link', path, to },
  ]
  return inputs[rng.below(inputs.length)]!
}

/** The same history with one answer that another call of its kind was given; undefined if there is none that differs. */
export function withSwappedAnswer<Input extends { readonly op: string }, Output>(
  rng: Rng,
  history: readonly Operation<Input, Output>[],
): Operation<Input, Output>[] | undefined {
  const completed = history.filter(({ output }) => output !== undefined)
  if (completed.length === 0) return undefined
  const victim = completed[rng.below(completed.length)]!
  const others = completed.filter(
    other => other.input.op === victim.input.op && JSON.stringify(other.output) !== JSON.stringify(victim.output),
  )
  if (others.length === 0) return undefined
  const { output } = others[rng.below(others.length)]!
  return history.map(operation => (operation === victim ? { ...operation, output } : operation))
}

/** Every order of every choice of unknown operations is tried: for a handful of operations, as plain as can be. */
export function isLinearizableByForce<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
): boolean {
  const extend = (state: State, left: readonly Operation<Input, Output>[]): boolean => {
    if (left.every(operation => operation.return === undefined)) return true
    return left.some(operation => {
      if (left.some(other => other.return !== undefined && other.return < operation.call)) return false
      const applied = model.apply(state, operation.input)
      if (operation.return !== undefined && !model.matches(applied.output, operation.output!)) return false
      return extend(
        applied.state,
        left.filter(other => other !== operation),
      )
    })
  }
  return extend(model.initial, history)
}

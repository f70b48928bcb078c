import type { Operation } from './history.js'

/** What a history is checked against: a deterministic sequential object. States are never changed in place. */
export interface Model<State, Input, Output> {
  readonly initial: State
  apply(state: State, input: Input): { readonly state: State; readonly output: Output }
  /** The same for equal states, different for others. */
  key(state: State): string
  /** Whether a client may have been told `observed` where the model says `expected`. */
  matches(expected: Output, observed: Output): boolean
  /** Whether a call with that answer leaves the state as it is, in every state in which it is answered so. */
  changesNothing?(input: Input, output: Output): boolean
  /** Parts that touch nothing in common: a history is linearizable if each part is (Herlihy and Wing 1990, theorem 1). */
  partition?(history: readonly Operation<Input, Output>[]): readonly (readonly Operation<Input, Output>[])[]
}

export interface Violation<Input, Output> {
  readonly verdict: 'violation'
  /** The part of the history that it is in. */
  readonly part: readonly Operation<Input, Output>[]
  /** The longest order that was found: all of it fits. */
  readonly prefix: readonly Operation<Input, Output>[]
  /** One of these has to be next, and none fits: what the model says instead. */
  readonly stuck: readonly { readonly operation: Operation<Input, Output>; readonly expected: Output }[]
  /** The model's state behind the prefix. */
  readonly state: string
}

export type Verdict<Input, Output> =
  | { readonly verdict: 'linearizable'; readonly steps: number }
  | Violation<Input, Output>
  | { readonly verdict: 'undecided'; readonly steps: number }

export interface Bounds {
  /** Applications of the model, over all parts. */
  readonly stepsMax?: number
  readonly secondsMax?: number
}

const defaultBounds = { stepsMax: 20_000_000, secondsMax: 60 }

/**
 * Whether an order of the operations exists that keeps to real time and that the model accepts.
 *
 * Depth first, as Wing and Gong (1993), with Lowe's memory of the configurations that were seen (2017): the set of
 * operations placed so far, and the state. Operations that return first are tried first, those of unknown outcome last:
 * they need not be placed at all. What fits and can change nothing, such as a read, is placed without an alternative: any
 * order that has it later is one with it here, too. Otherwise a read that lasts as long as a fault, and fits only at its
 * begin, is found missing after all that happened meanwhile, and all orders of that are tried.
 */
export function check<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  bounds: Bounds = {},
): Verdict<Input, Output> {
  const budget = new Budget({ ...defaultBounds, ...bounds })
  let undecided = false
  // a violation in one part is one, whatever became of the others
  for (const part of model.partition?.(history) ?? [history]) {
    const found = new Search(model, part, budget).run()
    if (found === 'undecided') undecided = true
    else if (found !== 'linearizable') return found
  }
  return { verdict: undecided ? 'undecided' : 'linearizable', steps: budget.steps }
}

class Budget {
  steps = 0
  readonly #stepsMax: number
  readonly #end: number

  constructor({ stepsMax, secondsMax }: Required<Bounds>) {
    this.#stepsMax = stepsMax
    this.#end = performance.now() + secondsMax * 1000
  }

  /** Whether one more step is allowed. */
  take(): boolean {
    this.steps++
    return this.steps <= this.#stepsMax && (this.steps % 1024 !== 0 || performance.now() < this.#end)
  }
}

/** An operation that fits as the next one, and the state behind it. */
interface Move<State> {
  readonly index: number
  readonly state: State
  readonly stateNumber: number
}

/** A choice that was made: one of the moves is placed, the ones before it have failed. */
interface Frame<State> {
  readonly state: State
  /** What real time allows to be next, whether it fits or not. */
  readonly candidates: readonly number[]
  readonly moves: readonly Move<State>[]
  next: number
  placed: number
}

/** Where nothing could be placed. */
interface DeadEnd<State> {
  readonly depth: number
  readonly order: readonly number[]
  readonly candidates: readonly number[]
  readonly state: State
}

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>
  readonly #budget: Budget
  readonly #part: readonly Operation<Input, Output>[]
  /** Completed operations in the order of their calls, then the unknown ones in that order. */
  readonly #operations: readonly Operation<Input, Output>[]
  readonly #completed: number
  readonly #placed: Uint8Array
  /** All completed operations before this one are placed. */
  #head = 0
  /** Of the unknown operations, a bit each. */
  #unknownPlaced = 0n
  /** By configuration without the unknown operations, sets of those with which it was seen. */
  readonly #seen = new Map<string, bigint[]>()
  readonly #stateNumbers = new Map<string, number>()
  /** Completed operations that are placed. */
  #depth = 0
  #deepest: DeadEnd<State> | undefined

  constructor(model: Model<State, Input, Output>, part: readonly Operation<Input, Output>[], budget: Budget) {
    this.#model = model
    this.#budget = budget
    this.#part = part
    const sorted = [...part].sort((a, b) => a.call - b.call)
    const completed = sorted.filter(operation => operation.return !== undefined)
    this.#operations = [...completed, ...sorted.filter(operation => operation.return === undefined)]
    this.#completed = completed.length
    this.#placed = new Uint8Array(sorted.length)
  }

  run(): 'linearizable' | 'undecided' | Violation<Input, Output> {
    if (this.#completed === 0) return 'linearizable'
    const { initial } = this.#model
    const first = this.#frame(initial, this.#stateNumber(initial))
    if (first === undefined) return 'undecided'
    const frames = [first]
    for (;;) {
      const frame = frames.at(-1)
      if (frame === undefined) return this.#violation()
      if (frame.placed >= 0) this.#remove(frame)
      const move = frame.moves[frame.next++]
      if (move === undefined) {
        this.#noteDeadEnd(frames)
        frames.pop()
        continue
      }
      this.#place(frame, move.index)
      if (this.#head === this.#completed) return 'linearizable'
      if (this.#wasSeen(this.#configuration(move.stateNumber))) continue
      const next = this.#frame(move.state, move.stateNumber)
      if (next === undefined) return 'undecided'
      frames.push(next)
    }
  }

  /** Undefined when the budget is used up. */
  #frame(state: State, stateNumber: number): Frame<State> | undefined {
    const candidates = this.#candidates()
    const moves: Move<State>[] = []
    for (const index of candidates) {
      if (!this.#budget.take()) return undefined
      const { input, output } = this.#operations[index]!
      const applied = this.#model.apply(state, input)
      const isUnknown = index >= this.#completed
      if (!isUnknown && !this.#model.matches(applied.output, output as Output)) continue
      const move = { index, state: applied.state, stateNumber: this.#stateNumber(applied.state) }
      // an unknown operation that changes nothing need not be placed
      if (isUnknown && move.stateNumber === stateNumber) continue
      if (!isUnknown && this.#model.changesNothing?.(input, output as Output) === true) {
        return { state, candidates, moves: [move], next: 0, placed: -1 }
      }
      moves.push(move)
    }
    return { state, candidates, moves, next: 0, placed: -1 }
  }

  /** An operation may be next if none that is not placed has returned before it was called. */
  #candidates(): readonly number[] {
    const candidates: number[] = []
    let firstReturn = Infinity
    for (let i = this.#head; i < this.#completed; i++) {
      const operation = this.#operations[i]!
      if (operation.call > firstReturn) break
      if (this.#placed[i] === 1) continue
      candidates.push(i)
      firstReturn = Math.min(firstReturn, operation.return!)
    }
    const returned = (i: number): number => this.#operations[i]!.return!
    const possible = candidates
      .filter(i => this.#operations[i]!.call <= firstReturn)
      .sort((a, b) => returned(a) - returned(b))
    for (let i = this.#completed; i < this.#operations.length; i++) {
      if (this.#operations[i]!.call > firstReturn) break
      if (this.#placed[i] === 0) possible.push(i)
    }
    return possible
  }

  #place(frame: Frame<State>, index: number): void {
    frame.placed = index
    this.#placed[index] = 1
    if (index >= this.#completed) this.#unknownPlaced ^= this.#unknownBit(index)
    else this.#depth++
    while (this.#head < this.#completed && this.#placed[this.#head] === 1) this.#head++
  }

  #remove(frame: Frame<State>): void {
    const index = frame.placed
    frame.placed = -1
    this.#placed[index] = 0
    if (index >= this.#completed) this.#unknownPlaced ^= this.#unknownBit(index)
    else {
      this.#depth--
      this.#head = Math.min(this.#head, index)
    }
  }

  #stateNumber(state: State): number {
    const key = this.#model.key(state)
    let number = this.#stateNumbers.get(key)
    if (number === undefined) this.#stateNumbers.set(key, (number = this.#stateNumbers.size))
    return number
  }

  /** The state and the set of completed operations that are placed: all before the head, and few after it. */
  #configuration(state: number): string {
    const beyond: number[] = []
    // what is placed was called before the first return of what is not
    let firstReturn = Infinity
    for (let i = this.#head; i < this.#completed && this.#operations[i]!.call <= firstReturn; i++) {
      if (this.#placed[i] === 1) beyond.push(i)
      else firstReturn = Math.min(firstReturn, this.#operations[i]!.return!)
    }
    return `${state};${this.#head};${beyond.join()}`
  }

  /** What is possible from here was possible with fewer of the unknown operations placed: they bind nobody. */
  #wasSeen(configuration: string): boolean {
    const now = this.#unknownPlaced
    const sets = this.#seen.get(configuration) ?? []
    if (sets.some(set => (set & now) === set)) return true
    this.#seen.set(configuration, [...sets.filter(set => (set & now) !== now), now])
    return false
  }

  #unknownBit(index: number): bigint {
    return 1n << BigInt(index - this.#completed)
  }

  /** All frames but the last hold a placed operation. */
  #noteDeadEnd(frames: readonly Frame<State>[]): void {
    if (this.#deepest !== undefined && this.#depth <= this.#deepest.depth) return
    const { candidates, state } = frames.at(-1)!
    const order = frames.slice(0, -1).map(({ placed }) => placed)
    this.#deepest = { depth: this.#depth, order, candidates, state }
  }

  #violation(): Violation<Input, Output> {
    const { order, candidates, state } = this.#deepest!
    return {
      verdict: 'violation',
      part: this.#part,
      prefix: order.map(i => this.#operations[i]!),
      stuck: candidates
        .filter(i => i < this.#completed)
        .map(i => this.#operations[i]!)
        .map(operation => ({ operation, expected: this.#model.apply(state, operation.input).output })),
      state: this.#model.key(state),
    }
  }
}

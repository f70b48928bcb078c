/** A promise that did not hold, and who noticed. */
export class Violation extends Error {
  readonly checker: string

  constructor(checker: string, message: string) {
    super(`${checker}: ${message}`)
    this.checker = checker
  }
}

/** Throws unless `condition`; `message` is made only then. */
export function check(checker: string, condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(checker, message())
}

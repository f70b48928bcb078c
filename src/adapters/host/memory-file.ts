import { readFileSync, rmSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'

/**
 * A small text that is replaced often: written beside and synced in the thread pool, then renamed, so that the file is
 * always one that was saved. What is saved while another is on its way follows it.
 */
export class MemoryFile {
  readonly #path: string
  readonly #failed: (error: unknown) => void
  #next: string | undefined
  #writing: Promise<void> | undefined

  constructor(path: string, failed: (error: unknown) => void) {
    this.#path = path
    this.#failed = failed
  }

  /** Undefined where there is none, or where it cannot be read. */
  load(): string | undefined {
    try {
      return readFileSync(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#failed(error)
      return undefined
    }
  }

  save(text: string): void {
    this.#next = text
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined))
  }

  async #write(): Promise<void> {
    for (let text = this.#take(); text !== undefined; text = this.#take()) {
      const temporary = `${this.#path}.tmp-${process.pid}`
      try {
        const file = await open(temporary, 'w', 0o600)
        try {
          await file.writeFile(text)
          await file.datasync()
        } finally {
          await file.close()
        }
        await rename(temporary, this.#path)
      } catch (error) {
        rmSync(temporary, { force: true })
        this.#failed(error)
      }
    }
  }

  #take(): string | undefined {
    const text = this.#next
    this.#next = undefined
    return text
  }

  /** All that was saved is in the file. */
  async close(): Promise<void> {
    await this.#writing
  }
}

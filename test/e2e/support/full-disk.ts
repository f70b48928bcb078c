import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Fills a file system to the last byte with files in a folder of it, whose paths are the answer. */
export function fillDisk(folder: string): string[] {
  const paths: string[] = []
  // in small pieces at the end, until nothing fits
  for (const size of [8 << 20, 1 << 20, 64 << 10, 4096]) {
    for (;;) {
      const path = join(folder, `ballast-${paths.length}`)
      paths.push(path)
      try {
        writeFileSync(path, new Uint8Array(size))
      } catch {
        break
      }
    }
  }
  return paths
}

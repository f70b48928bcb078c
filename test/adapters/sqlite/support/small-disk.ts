/** A small file system in memory, for a test's stores to fill. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { tempFolder } from '../../../contracts/entries.js'

/** Why tests with a file system of their own are left out, or false. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root'

/** Mounts a tmpfs of so many MiB until the test ends, whatever happens. Answers where. */
export function smallDisk(t: { teardown(task: () => void): void }, mebibytes: number): string {
  const folder = tempFolder()
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder])
  const unmount = (): void => void execFileSync('umount', ['-l', folder])
  process.once('exit', unmount)
  t.teardown(() => {
    process.off('exit', unmount)
    unmount()
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

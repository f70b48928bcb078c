/** A small file system in memory, for a test's stores to fill. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { tempFolder } from '../../../contracts/entries.js'

/** Why tests with a file system of their own are left out, or false. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root'

type Test = { teardown(task: () => void): void }

/** Mounts a tmpfs of so many MiB until the test ends, whatever happens. Answers where. */
export function smallDisk(t: Test, mebibytes: number): string {
  const folder = tempFolder()
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder])
  return mounted(t, folder)
}

/** As `smallDisk`, an ext4 whose blocks are smaller than a page. */
export function smallBlocks(t: Test, mebibytes: number): string {
  const folder = tempFolder()
  const image = `${folder}.image`
  execFileSync('truncate', ['-s', `${mebibytes}M`, image])
  execFileSync('mkfs.ext4', ['-q', '-F', '-b', '1024', image])
  execFileSync('mount', ['-o', 'loop', image, folder])
  rmSync(image)
  return mounted(t, folder)
}

function mounted(t: Test, folder: string): string {
  const unmount = (): void => void execFileSync('umount', ['-l', folder])
  process.once('exit', unmount)
  t.teardown(() => {
    process.off('exit', unmount)
    unmount()
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

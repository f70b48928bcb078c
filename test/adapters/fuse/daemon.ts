/**
 * A process that mounts a `MemoryHandler` for a test: `daemon.ts DIRECTORY [locks|noflush|fuse-native]…`. It reads commands from its input and
 * writes what happens to its output, one line each. When its input ends it unmounts by force.
 */
import { createInterface } from 'node:readline'
import { FuseNativeDriver } from '../../../src/adapters/fuse-native/native-driver.js'
import { KernelDriver } from '../../../src/adapters/fuse/kernel-driver.js'
import { RkfsError } from '../../../src/base/errors.js'
import { MemoryHandler } from './memory-handler.js'

const say = (line: string): void => void process.stdout.write(line + '\n')
process.stdout.on('error', () => undefined) // the test has gone
const handler = new MemoryHandler(say)
const words = process.argv.slice(3)
const driver = words.includes('fuse-native')
  ? new FuseNativeDriver({ deadlineMs: 3000 })
  : new KernelDriver({ locks: words.includes('locks'), flush: !words.includes('noflush') })
const failed = (error: unknown): void =>
  say(error instanceof RkfsError ? `error ${error.code} ${error.message}` : `error ? ${(error as Error).stack}`)

try {
  const mount = await driver.mount(
    {
      directory: process.argv[2]!,
      source: 'rkfs-test',
      readOnly: words.includes('ro'),
      allowOther: words.includes('allow_other'),
      suid: words.includes('suid'),
      dev: words.includes('dev'),
      started: mount => say(`started ${mount.operations}`),
      log: (level, message, fields) => say(`log ${level} ${message} ${JSON.stringify(fields ?? {})}`),
    },
    handler,
  )
  say('mounted')
  const input = createInterface({ input: process.stdin })
  void mount.ended.then(() => {
    say('ended')
    input.close()
    process.stdin.destroy()
  })
  input.on('close', () => void mount.unmount(true).catch(failed))
  input.on('line', line => {
    const [command, name = '', ...words] = line.split(' ')
    switch (command) {
      case 'put': {
        const ino = handler.put(name, words.join(' '))
        mount.invalidate([
          { kind: 'entry', parent: 1, name },
          { kind: 'inode', ino, offset: 0, length: 0 },
          { kind: 'inode', ino: 1, offset: 0, length: 0 },
        ])
        return say('done')
      }
      case 'change': {
        mount.invalidate([{ kind: 'inode', ino: handler.put(name, words.join(' ')), offset: 0, length: 0 }])
        return say('done')
      }
      case 'silent':
        handler.put(name, words.join(' '))
        return say('done')
      case 'drop':
        mount.invalidate([{ kind: 'delete', parent: 1, child: handler.drop(name), name }])
        return say('done')
      case 'all':
        mount.invalidateAll()
        return say('done')
      case 'counts':
        return say(`counts ${mount.operations} ${mount.errors}`)
      case 'unmount':
        return void mount.unmount(name === 'force').then(() => say('unmounted'), failed)
      case 'crash':
        setImmediate(() => {
          throw new Error('as the test asked')
        })
        return
      default:
        say(`unknown ${line}`)
    }
  })
} catch (error) {
  failed(error)
}

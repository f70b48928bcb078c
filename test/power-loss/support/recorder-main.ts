/** A process that mounts a recorded disk: `recorder-main.ts DIRECTORY`. Told `save` and a path, it writes the record there. */
import { writeFileSync } from 'node:fs'
import { serialize } from 'node:v8'
import { KernelDriver } from '../../../src/adapters/fuse/kernel-driver.js'
import { RecordingHandler } from './recording-handler.js'

const say = (message: object): void => void process.send!(message)
const handler = new RecordingHandler()
const mount = await new KernelDriver({ flush: false }).mount(
  {
    directory: process.argv[2]!,
    source: 'recorded',
    readOnly: false,
    allowOther: true,
    suid: false,
    dev: false,
    log: (level, message, fields) => {
      if (level !== 'debug') process.stderr.write(`recorder: ${message} ${JSON.stringify(fields ?? {})}\n`)
    },
  },
  handler,
)
process.on('message', ({ save }: { save: string }) => {
  writeFileSync(save, serialize(handler.record))
  say({ saved: handler.record.length, errors: mount.errors })
})
process.on('disconnect', () => void mount.unmount(true).then(() => process.exit(0)))
say({ mounted: true })

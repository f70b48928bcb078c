import { join } from 'node:path'
import t from 'tap'
import { loadBinding } from '../../../src/adapters/fuse-native/binding.js'

/** A folder with a package fuse-native in it, whose native part does not load for the reason given. */
const without = (version: string, reason: string): Record<string, Record<string, Record<string, string>>> => ({
  node_modules: {
    'fuse-native': { 'package.json': JSON.stringify({ name: 'fuse-native', version }) },
    'node-gyp-build': { 'index.js': `module.exports = () => { throw new Error(${JSON.stringify(reason)}) }` },
  },
})

t.test('what is missing is named, with the remedy', async t => {
  const folder = t.testdir({
    old: without('2.2.5', ''),
    library: without('2.2.6', 'libfuse.so.2: cannot open shared object file: No such file or directory'),
    build: without('2.2.6', 'No native build was found for platform=linux arch=x64\n at …'),
  })
  const message = (name: string): string => {
    try {
      loadBinding(join(folder, name, 'module.js'))
      return 'loads'
    } catch (error) {
      t.match(error, { name: 'RkfsError', code: 'unavailable' })
      return (error as Error).message
    }
  }
  t.match(
    message('../../../../../../../../../nonexistent'),
    /is not installed: npm install .*fuse-native@2\.2\.6, or leave driver=/,
  )
  t.match(message('old'), /^fuse-native 2\.2\.5 does not serve: install 2\.2\.6/)
  t.equal(
    message('library'),
    'libfuse 2 is not installed: install the Debian package libfuse2, or leave driver=fuse-native out',
  )
  t.match(message('build'), /^fuse-native does not load \(No native build was found .*x64\): see native-deps\.md/)
})

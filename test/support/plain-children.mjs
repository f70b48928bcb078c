/**
 * Imported by the test files' processes under `tap run` (.taprc): gives their children the environment that they are
 * started with. tap has every Node.js process that a test starts load its recorder of loaded files, whatever its
 * environment is: it slows nodes and commands down to half their speed, and they are not what people run.
 */
import processOnSpawn from 'process-on-spawn'

processOnSpawn.removeAllListeners()
delete process.env.NODE_OPTIONS
for (const name of Object.keys(process.env)) if (name.startsWith('_TAPJS_PROCESSINFO_')) delete process.env[name]

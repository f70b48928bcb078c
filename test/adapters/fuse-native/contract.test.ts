import { fuseNativeLimits } from '../../../src/adapters/fuse-native/driver-limits.js'
import { mountDriverContract } from '../../contracts/mount-driver.js'

mountDriverContract('fuse-native', { args: ['fuse-native'], limits: fuseNativeLimits.map(limit => limit.id) })

import { mountDriverContract } from '../../contracts/mount-driver.js'

mountDriverContract('kernel', { args: [], limits: [] })

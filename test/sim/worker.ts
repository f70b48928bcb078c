import { describeFailure } from './failure.js'
import type { FromWorker, ToWorker } from './many.js'
import { Simulation } from './simulation.js'

const tell = (message: FromWorker): void => void process.send!(message)

process.on('message', ({ seed, ticks }: ToWorker) => {
  const simulation = new Simulation(seed, ticks)
  try {
    tell({ kind: 'done', totals: { runs: 1, ...simulation.run().totals } })
  } catch (error) {
    tell({ kind: 'failed', failure: { seed, text: describeFailure(seed, ticks, simulation, error) } })
  }
})

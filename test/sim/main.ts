import { parseArgs } from 'node:util'
import { describeFailure } from './failure.js'
import { runMany } from './many.js'
import { defaultTicks, Simulation } from './simulation.js'

const usage = `npm run sim -- [--seed N] [--seeds COUNT] [--ticks N] [--jobs N]
  --seed N    the first seed (1)
  --seeds N   how many seeds, one after the other (1)
  --ticks N   virtual milliseconds of the safety phase (${defaultTicks})
  --jobs N    processes (1)`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    ticks: { type: 'string', default: String(defaultTicks) },
    jobs: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) console.log(usage)
else {
  const [seed, seeds, ticks, jobs] = [values.seed, values.seeds, values.ticks, values.jobs].map(Number) as [
    number,
    number,
    number,
    number,
  ]
  if ([seed, seeds, ticks, jobs].some(value => !Number.isSafeInteger(value) || value < 0)) {
    console.error(usage)
    process.exitCode = 2
  } else if (seeds === 1) {
    const simulation = new Simulation(seed, ticks)
    try {
      const { digest, totals } = simulation.run()
      console.log(JSON.stringify({ seed, ticks, digest, ...totals }))
    } catch (error) {
      console.error(describeFailure(seed, ticks, simulation, error))
      process.exitCode = 1
    }
  } else {
    const { failures, totals } = await runMany({
      seed,
      seeds,
      ticks,
      jobs,
      failuresMax: 20,
      onFailure: ({ text }) => console.error(text),
    })
    console.log(JSON.stringify({ seeds, failed: failures.length, ...totals }))
    if (failures.length > 0) process.exitCode = 1
  }
}

// A program for tests/web: loads each folder of standard input, as a reader of packages from anybody.
//
// For each line it prints a line of JSON: `read` is ok, a typed error, or raw for any other.
import { createInterface } from 'node:readline'
import { HandfulError, load, verify } from '../src/node.js'

const outcome = async (action) => {
  try {
    return await action() ?? 'ok'
  } catch (error) {
    return `${error instanceof HandfulError ? error.name : 'raw'}: ${error.message}`
  }
}

for await (const folder of createInterface({ input: process.stdin })) {
  const began = performance.now()
  let learner
  const read = await outcome(async () => {
    learner = await load(folder, { warn: () => {} })
  })
  const seconds = (performance.now() - began) / 1000
  const verified = learner && process.argv.includes('--verify')
    ? await outcome(async () => {
      const { ok, failed } = await verify(learner)
      return ok ? 'ok' : `differs: ${failed.slice(0, 3)}`
    }) : ''
  console.log(JSON.stringify({ folder, read, verify: verified, seconds }))
}

// A program for tests/web: does with this runtime what Python did, and says what came of it.
//
// `node agree.js PACKAGE FOLDER` reads in.json, in.npz and python.npz (a saved task) from FOLDER and
// writes node.npz (the same task, saved here); answers go to standard output as JSON.
import { readFileSync, writeFileSync } from 'node:fs'
import { load, PackageError } from '../src/node.js'
import { readNpz } from '../src/npz.js'

const [path, folder] = process.argv.slice(2)
const ask = JSON.parse(readFileSync(`${folder}/in.json`, 'utf8'))
const arrays = await readNpz(new Uint8Array(readFileSync(`${folder}/in.npz`)), 'in.npz', PackageError, { size: 2 ** 30 })
const learner = await load(path, { warn: () => {} })

/** An array by its name; of pictures and sounds as an application has them. */
function given(name) {
  const { data, shape } = arrays.get(name)
  if (ask.as === 'picture') return { data, width: shape[1], height: shape[0] }
  if (ask.as === 'sound') {
    const samples = Array.from({ length: shape[1] }, (_, c) =>
      data.constructor.from({ length: shape[0] }, (__, i) => data[i * shape[1] + c]))
    return { samples, rate: ask.rate }
  }
  return { data, shape }
}

async function answers(task, queries) {
  if (learner.manifest.task === 'regression') {
    return { outputs: (await task.predict(queries)).map((row) => Array.from(row)) }
  }
  const plain = await task.predict(queries)
  const logits = (await task.logits(queries)).map((row) => Array.from(row))
  const probabilities = plain.map((answer) => [...answer.probabilities.values()])
  const unknown = []
  for (const rate of ask.rates) {
    const found = await task.predict(queries, { unknown: rate })
    unknown.push(found.map((answer) => answer.label))
  }
  const sets = []
  for (const coverage of ask.coverages) {
    sets.push((await task.predict(queries, { coverage })).map((answer) => answer.labels))
  }
  return { labels: plain.map((answer) => answer.label), logits, probabilities, unknown, sets }
}

const queries = ask.queries.map(given)
const support = ask.support.map(given)
let task
if (ask.start) task = await learner.start()
else if (ask.targets) task = await learner.adapt(support, ask.targets)
else task = await learner.adapt(support, ask.labels, ask.fresh && { fresh: ask.fresh })
if (ask.negatives.length) task = await task.withNegatives(ask.negatives.map(given))
const found = { adapted: await answers(task, queries) }
writeFileSync(`${folder}/node.npz`, await task.save())
const loaded = await learner.loadTask(readFileSync(`${folder}/python.npz`))
found.loaded = await answers(loaded, queries)
if (ask.labels && !ask.start && task.classes.length > 2) {
  const changed = await (await task.remove(task.classes[0])).add(support, ask.labels, { fresh: ask.fresh ?? [] })
  found.changed = await answers(changed, queries)
}
console.log(JSON.stringify(found))

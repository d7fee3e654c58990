// A program for tests/web: a policy does with this runtime what it did in Python, and says what came of it.
//
// `node act.js PACKAGE FOLDER` reads in.npz (rollouts, observations, noise) and python.npz (a saved task)
// from FOLDER and writes node.npz (the same task, saved here); answers go to standard output as JSON.
import { readFileSync, writeFileSync } from 'node:fs'
import { advantages, HandfulError, load, PackageError } from '../src/node.js'
import { readNpz } from '../src/npz.js'

const [path, folder] = process.argv.slice(2)
const arrays = await readNpz(new Uint8Array(readFileSync(`${folder}/in.npz`)), 'in.npz', PackageError, { size: 2 ** 30 })
const learner = await load(path, { warn: () => {} })
const [observations, actions, rewards, seen, noise] =
  ['observations', 'actions', 'rewards', 'seen', 'noise'].map((name) => arrays.get(name))

const rollout = { observations, actions, rewards }
const gained = advantages(rewards, { observations })
const alone = advantages(rewards)
const start = await learner.start()
const adapted = await learner.adapt(rollout)
const again = await adapted.add({ observations, actions, advantages: gained })
writeFileSync(`${folder}/node.npz`, await again.save())
const loaded = await (await learner.loadTask(readFileSync(`${folder}/python.npz`))).add(rollout)

const listed = ({ mean, deviation }) => [...mean, ...deviation]
const answers = async (task) => (await task.act(seen)).map(listed)
const one = { data: seen.data.slice(0, seen.shape[1]), shape: [seen.shape[1]] }
const found = {
  start: await answers(start), adapted: await answers(adapted), again: await answers(again),
  loaded: await answers(loaded), advantages: [...gained.data], alone: [...alone.data],
  actions: (await adapted.act(seen, noise)).map((action) => [...action]),
  one: listed(await adapted.act(one)), refused: {},
}
const REFUSED = {
  'labelled examples': () => learner.adapt([['up', [one]]]),
  'both of rewards and advantages': () => learner.adapt({ ...rollout, advantages: gained }),
  'other leading axes': () => learner.adapt({ ...rollout, rewards: undefined, advantages: [1, 2] }),
  'two actions': () => learner.adapt({ observations: [[0, 0]], actions: [[1, 2, 3]], advantages: [1] }),
  'no reading': () => learner.adapt({ observations: { data: new Float32Array(0), shape: [0, 2] }, actions: { data: new Float32Array(0), shape: [0, 1] }, advantages: new Float32Array(0) }),
  'a reward that is no number': () => learner.adapt({ ...rollout, rewards: [[0, NaN], [1, 1]] }),
  'an action that is no number': () => learner.adapt({ observations: [[0, 0]], actions: [[Infinity]], advantages: [1] }),
  'an observation that is no number': () => learner.adapt({ observations: [[0, NaN]], actions: [[1]], advantages: [1] }),
  'one rollout': () => learner.adapt({ observations: [[[0, 0]]], actions: [[[1]]], rewards: [[1]] }),
  predict: () => start.predict(one),
  remove: () => start.remove('up'),
  'noise of another shape': () => start.act(one, [0, 0, 0]),
}
for (const [name, call] of Object.entries(REFUSED)) {
  try {
    await call()
    found.refused[name] = 'ok'
  } catch (error) {
    found.refused[name] = error instanceof HandfulError ? error.message : `raw ${error.stack}`
  }
}
console.log(JSON.stringify(found))

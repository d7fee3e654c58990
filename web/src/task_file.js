// Saved tasks: a stored npz, bound to its package by the hash of the manifest; Python reads and writes
// the same. docs/package-format.md, "Saved tasks".
import { HandfulError, TaskFileError, shown } from './errors.js'
import { readJson } from './json.js'
import { MAX_SAMPLES } from './learner.js'
import { kept, same, targetsOf } from './manifest.js'
import { LEAST, MAX_NEGATIVES } from './negatives.js'
import { MAX_MEMBERS, packNpz, readNpz } from './npz.js'
import { labelOf, oneHot, within } from './support.js'
import { Task } from './task.js'

/**
 * @typedef {import('./learner.js').Learner} Learner
 * @typedef {import('./npz.js').Stored} Stored
 * @typedef {import('./npz.js').Dtype} Dtype
 */

const FORMAT = 1
const MAX_BYTES = 2 ** 28
const MAX_SEED = 2n ** 63n
const FIELDS = ['classes', 'format', 'package', 'place', 'samples', 'seed']
const NAME = 'the task'

/**
 * The bytes of a saved task, which `readTask` reads.
 * @param {Task} task
 * @returns {Promise<Uint8Array>}
 */
export async function writeTask(task) {
  const { learner, support, states, seed, negatives } = task
  const { inner } = learner.engine
  const width = support.classes.length || targetsOf(learner.manifest)
  const about = JSON.stringify({
    format: FORMAT, package: learner.identity, classes: support.classes, seed: null,
    samples: states.length, place: null,
  }).replace('"seed":null', `"seed":${seed}`) // which may be beyond 2⁵³
  const text = new TextEncoder().encode(about)
  /** @param {Float32Array} data @param {number[]} shape @returns {Stored} */
  const floats = (data, shape) => ({ data, shape, dtype: 'float32' })
  /** @type {[string, Stored][]} */
  const arrays = [
    ['about', { data: text, shape: [text.length], dtype: 'uint8' }],
    ['support_x', floats(support.x, [support.count, ...inner])],
    ['support_y', floats(support.y, [support.count, width])],
  ]
  states.forEach(({ tensors }, i) => {
    for (const [name, { data, dims, type }] of tensors) {
      arrays.push([`state/${i}/${name}`, { data, shape: [...dims], dtype: /** @type {Dtype} */ (type) }])
    }
  })
  if (negatives) arrays.push(['negatives', floats(negatives.x, [negatives.count, ...inner])])
  const bytes = packNpz(arrays)
  if (bytes.length > MAX_BYTES || arrays.length > MAX_MEMBERS) {
    throw new TaskFileError(`the task has ${arrays.length} arrays of ${bytes.length} bytes in all, at most`
      + ` ${MAX_MEMBERS} and ${MAX_BYTES} are saved`, 'adapt with fewer samples, or to fewer examples')
  }
  await readTask(bytes, learner) // only if it can be read again
  return bytes
}

/**
 * The task in the bytes of a file, every array checked against the manifest.
 * @param {Uint8Array} bytes
 * @param {Learner} learner
 * @returns {Promise<Task>}
 */
export async function readTask(bytes, learner) {
  if (bytes.length > MAX_BYTES) {
    throw new TaskFileError(`${NAME} has ${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  }
  const { engine, manifest } = learner
  const arrays = await readNpz(bytes, NAME, TaskFileError, { size: bytes.length })
  const about = readAbout(arrays.get('about'))
  if (about.package !== learner.identity) {
    throw new TaskFileError(`${NAME} was saved with another package than ${manifest.name} as it is now`,
      'load it with the package that made it, or adapt again')
  }
  arrays.delete('about')
  /** @param {string} key @param {Dtype} dtype @param {(number | string)[]} shape */
  const take = (key, dtype, shape) => {
    const array = arrays.get(key)
    if (!array) throw new TaskFileError(`${NAME} has no array \`${key}\``)
    arrays.delete(key)
    if (array.dtype !== dtype || !same(array.shape, shape)) {
      throw new TaskFileError(`${NAME}: \`${key}\` is ${array.dtype} [${array.shape}], wanted ${dtype}`
        + ` [${shape}]`)
    }
    if (dtype === 'float32' && !array.data.every(Number.isFinite)) {
      throw new TaskFileError(`${NAME}: \`${key}\` has values that are not finite`)
    }
    return array.data
  }
  const labelled = manifest.task === 'classification'
  const count = arrays.get('support_y')?.shape[0] ?? 0
  const width = labelled ? about.classes.length : targetsOf(manifest)
  const x = take('support_x', 'float32', [count, ...engine.inner])
  const y = take('support_y', 'float32', [count, width])
  const indices = Array.from({ length: count }, (_, i) => y.subarray(i * width, (i + 1) * width).indexOf(1))
  const labels = labelled ? indices.map((index) => about.classes[index]) : []
  const named = manifest.classes ?? []
  const own = [...new Set([...named, ...labels])]
  const fits = !labelled ? !about.classes.length
    : indices.every((index) => index >= 0) && same([...y], [...oneHot(indices, width)])
      && own.length === width && same(about.classes.slice(0, named.length), named)
  if (!fits) throw new TaskFileError(`${NAME}: \`support_y\` does not fit the classes`)
  const support = { x, y, count, labels, classes: about.classes, named: named.length }
  try {
    within(support, manifest.limits)
  } catch (error) {
    if (!(error instanceof HandfulError)) throw error
    throw new TaskFileError(`${NAME}: ${error.message}`, error.hint)
  }
  /** @type {Record<string, number>} */
  const sizes = { S: count, N: width }
  const states = Array.from({ length: about.samples }, (_, i) => ({
    sizes,
    tensors: new Map(kept(manifest).map(({ name, dtype, shape: symbols }) => {
      const shape = symbols.map((size) => typeof size === 'string' ? sizes[size] : size)
      const data = take(`state/${i}/${name}`, dtype, shape)
      return [name, new engine.ort.Tensor(dtype, data, shape)]
    })),
  }))
  const others = arrays.get('negatives')?.shape[0]
  const negatives = others === undefined ? null : take('negatives', 'float32', [others, ...engine.inner])
  const least = manifest.confidence.length ? 1 : LEAST
  if (others !== undefined && (others < least || others > MAX_NEGATIVES || !labelled)) {
    throw new TaskFileError(`${NAME} has ${others} negatives, wanted ${least} to ${MAX_NEGATIVES}, of`
      + ' classification')
  }
  const [unknown] = arrays.keys()
  if (unknown !== undefined) throw new TaskFileError(`${NAME} has an unknown array ${shown(unknown)}`)
  const task = new Task(learner, support, states, about.seed)
  return negatives ? task.rejecting(negatives) : task
}

/**
 * @param {Stored | undefined} array
 * @returns {{package: string, classes: string[], seed: bigint | null, samples: number}}
 */
function readAbout(array) {
  const wrong = new TaskFileError(`${NAME} is not a saved task`, '`task.save` writes them')
  if (array?.dtype !== 'uint8' || array.shape.length !== 1) throw wrong
  const { value: about, whole } = readJson(array.data, NAME, { Kind: TaskFileError, large: true })
  if (!about || typeof about !== 'object' || !Object.hasOwn(about, 'format')) throw wrong
  if (about.format !== FORMAT || !whole(about, 'format')) {
    throw new TaskFileError(`${NAME} has format ${shown(about.format)}, this runtime reads ${FORMAT}`,
      'load it with the handful that saved it, or adapt again')
  }
  const { classes, place, samples } = about
  const whole_ = Number.isInteger(samples) && whole(about, 'samples')
  const seed = about.seed === null ? null
    : typeof about.seed === 'bigint' || (Number.isInteger(about.seed) && whole(about, 'seed'))
      ? BigInt(about.seed) : -1n
  const ok = same(Object.keys(about).sort(), FIELDS) && (place === null || typeof place === 'string')
    && Array.isArray(classes) && whole_ && samples >= 1 && samples <= MAX_SAMPLES
    && (seed === null ? samples === 1 : seed >= 0n && seed < MAX_SEED)
  if (!ok) throw wrong
  const labels = classes.map((/** @type {unknown} */ label) => labelOf(label, TaskFileError))
  if (new Set(labels).size < labels.length) throw wrong
  return { package: about.package, classes: labels, seed, samples }
}

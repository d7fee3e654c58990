// Replays conformance.npz: what a runtime in any language has to compute.
import { PackageError } from './errors.js'
import { pictureLevels } from './inputs/pictures.js'
import { recordingExamples, scaleIntegers } from './inputs/series.js'
import { prepareSound } from './inputs/sounds.js'
import { product, same } from './manifest.js'
import { concatenated } from './numbers.js'
import { readNpz } from './npz.js'

/**
 * @typedef {import('./learner.js').Learner} Learner
 * @typedef {import('./npz.js').Stored} Stored
 * @typedef {{name: string, difference: number, tolerance: number}} Compared
 * @typedef {{name: string, ok: boolean, failed: string[], compared: Compared[]}} Report
 */

const FILE = 'conformance.npz'
const MAX_BYTES = 2 ** 26
const HINT = 'export the package again'
const EXACT = 1e-6 // of pictures, sounds and series: only float32's rounding may differ
const [TOLERANCE, OF_INT8, MOST_OF_ANSWERS] = [1e-4, 0.1, 0.1]
const ONE_BY_ONE = 'one by one'

/**
 * max|a − b| / max(max|b|, floor); infinite where lengths differ or a value is not finite.
 * @param {ArrayLike<number | bigint>} a @param {ArrayLike<number | bigint>} b @param {string} [name]
 */
export function relativeDifference(a, b, name = '') {
  if (a.length !== b.length) return Infinity
  let [apart, largest] = [0, name.endsWith('/loss') ? 0.1 : 1e-3]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])]
    if (!Number.isFinite(x) || !Number.isFinite(y)) return Infinity
    apart = Math.max(apart, Math.abs(x - y))
    largest = Math.max(largest, Math.abs(y))
  }
  return apart / largest
}

/**
 * Whether this runtime computes what the trainer did, vector by vector.
 * @param {Learner} learner
 * @returns {Promise<Report>}
 */
export async function verify(learner) {
  const { manifest, engine } = learner
  const bytes = await engine.pack.read(FILE, MAX_BYTES)
  const golden = new Golden(await readNpz(bytes, FILE, PackageError, { size: MAX_BYTES, deflated: true }))
  const usual = manifest.precision === 'int8' ? OF_INT8 : TOLERANCE
  /** @type {Compared[]} */
  const compared = []
  /** @param {string} name @param {any} data @param {readonly number[]} shape @param {string} dtype @param {number} [exact] */
  const compare = (name, data, shape, dtype, exact) => {
    const { values, every, tolerance } = golden.vector(name)
    const whole = every === 1 ? same(values.shape, shape) : values.shape.length === 1
    const thin = every === 1 ? data : data.filter((/** @type {any} */ _, /** @type {number} */ i) => i % every === 0)
    const difference = whole && values.dtype === dtype ? relativeDifference(thin, values.data, name) : Infinity
    compared.push({ name, difference, tolerance: exact ?? Math.max(usual, tolerance) })
  }
  replayInputs(golden, manifest.input, (name, data, shape) => compare(name, data, shape, 'float32', EXACT))

  const supportX = golden.examples('support_x', manifest.input)
  const queryX = golden.examples('query_x', manifest.input)
  const [count, queries] = [supportX.count, queryX.count]
  const supportY = golden.take('support_y', 'float32')
  if (supportY.shape.length !== 2 || supportY.shape[0] !== count) {
    throw new PackageError(`${FILE}: \`support_y\` is [${supportY.shape}], wanted a row an example`, HINT)
  }
  const embedded = await engine.embed(queryX.x, queries)
  const answer = manifest.task === 'classification' ? 'logits' : 'outputs'
  /** @param {string} prefix @param {number} examples how many of the support set @param {import('./engine.js').State} [begun] */
  const adapted = async (prefix, examples, begun) => {
    const h = await engine.embed(supportX.x, examples)
    const state = await engine.adapt(h, supportY.data, examples, {
      begun,
      observe: (stage, i, tensors) => tensors.forEach((tensor, name) =>
        compare(`${prefix}${stage}/${i}/${name}`, tensor.data, tensor.dims, tensor.type)),
    })
    const rows = await engine.predict(state, embedded, queries)
    compare(prefix + answer, concatenated(rows), [queries, rows[0].length], 'float32')
    return { state, together: concatenated(rows) }
  }
  if (manifest.classes) await adapted('start/', 0)
  const { state, together } = await adapted('', count)
  const { tolerance } = compared[compared.length - 1]
  if (manifest.task === 'policy') await adapted('again/', count, state)
  if ((golden.tolerances.get(answer) ?? 0) > MOST_OF_ANSWERS) {
    throw new PackageError(`${FILE}: \`${answer}/tolerance\` is above ${MOST_OF_ANSWERS}`, HINT)
  }
  const alone = []
  const size = product(engine.inner)
  for (let i = 0; i < queries; i++) {
    alone.push(...await engine.predict(state, embedded.slice(i * size, (i + 1) * size), 1))
  }
  const difference = relativeDifference(concatenated(alone), together)
  compared.push({ name: ONE_BY_ONE, difference, tolerance })
  golden.allRead()
  const failed = compared.filter((one) => !(one.difference <= one.tolerance)).map(({ name }) => name)
  return { name: manifest.name, ok: !failed.length, failed, compared }
}

/** The golden pictures, sounds and series: what preprocessing makes of them. */
/** @param {Golden} golden @param {import('./manifest.js').InputSpec} spec @param {(name: string, data: Float32Array, shape: readonly number[]) => void} compare */
function replayInputs(golden, spec, compare) {
  for (const i of [0, 1]) {
    if (spec.kind === 'image') {
      const { data, shape: [height, width] } = golden.take(`picture/${i}`, 'uint8')
      const levels = pictureLevels({ data, width, height }, spec, `picture/${i}`)
      compare(`picture/${i}/x`, scaleIntegers(levels, spec), spec.shape)
    }
    if (spec.kind === 'audio' && golden.has(`sound/${i}`)) {
      const { data, shape: [count, channels] } = golden.take(`sound/${i}`, 'int16')
      const rate = Number(golden.take(`sound/${i}/rate`, 'int64').data[0])
      const samples = Array.from({ length: channels }, (_, c) =>
        Int16Array.from({ length: count }, (__, k) => data[k * channels + c]))
      compare(`sound/${i}/x`, prepareSound({ samples, rate }, spec, `sound/${i}`), spec.shape)
    }
    if (spec.kind === 'array' && golden.has(`series/${i}`)) {
      const { data, shape } = golden.take(`series/${i}`, 'float32')
      const times = golden.has(`series/${i}/times`)
        ? Float64Array.from(golden.take(`series/${i}/times`, 'int64').data, (t) => Number(t) / 1e6) : null
      const rows = recordingExamples({ data, shape }, spec, `series/${i}`, { times })
      compare(`series/${i}/x`, concatenated(rows), [rows.length, ...spec.shape])
    }
  }
}

/** The golden arrays, each read once; none may be left. */
class Golden {
  /** @type {Map<string, {values: Stored, every: number}>} */
  #vectors = new Map()
  /** @type {Map<string, number>} */
  tolerances = new Map()

  /** @param {Map<string, Stored>} arrays */
  constructor(arrays) {
    for (const [key, values] of arrays) {
      if (key.endsWith('/tolerance')) {
        const [tolerance] = values.data
        if (values.dtype !== 'float32' || values.shape.length || !(tolerance > 0)) {
          throw new PackageError(`${FILE}: \`${key}\` is no number above 0`, HINT)
        }
        this.tolerances.set(key.slice(0, -'/tolerance'.length), tolerance)
        continue
      }
      const match = /^([^[]+)\[::([1-9]\d{0,8})\]$/.exec(key)
      const name = match ? match[1] : key
      if (this.#vectors.has(name)) throw new PackageError(`${FILE} has an unknown \`${key}\``, HINT)
      this.#vectors.set(name, { values, every: match ? Number(match[2]) : 1 })
    }
  }

  /** @param {string} name */
  has(name) {
    return this.#vectors.has(name)
  }

  /** @param {string} name */
  vector(name) {
    const found = this.#vectors.get(name)
    if (!found) throw new PackageError(`${FILE} has no \`${name}\``, HINT)
    this.#vectors.delete(name)
    return { ...found, tolerance: this.tolerances.get(name) ?? 0 }
  }

  /** @param {string} name @param {import('./npz.js').Dtype} dtype */
  take(name, dtype) {
    const { values, every } = this.vector(name)
    if (values.dtype !== dtype || every !== 1) {
      throw new PackageError(`${FILE}: \`${name}\` is ${values.dtype}, wanted ${dtype}, stored whole`, HINT)
    }
    return values
  }

  /** @param {string} name @param {import('./manifest.js').InputSpec} spec */
  examples(name, spec) {
    const { values } = this.vector(name)
    const { data, shape, dtype } = values
    const samples = dtype === 'int16' && spec.kind === 'audio'
    if ((dtype !== 'float32' && !samples) || !shape[0] || !same(shape.slice(1), spec.shape)) {
      throw new PackageError(`${FILE}: \`${name}\` is ${dtype} [${shape}], wanted examples of`
        + ` [${spec.shape}]`, HINT)
    }
    return { x: Float32Array.from(data, (value) => samples ? value / 2 ** 15 : value), count: shape[0] }
  }

  allRead() {
    const [left] = this.#vectors.keys()
    if (left !== undefined) throw new PackageError(`${FILE} has an unknown \`${left}\``, HINT)
  }
}

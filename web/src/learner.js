// A learner: a loaded package, ready to adapt.
import { Engine } from './engine.js'
import { AdaptError, HandfulError, SupportSetError, shown } from './errors.js'
import { product, targetsOf } from './manifest.js'
import { classified, gather } from './support.js'
import { adapted } from './task.js'
import { Watch } from './unlike.js'

/**
 * @typedef {import('./engine.js').Ort} Ort
 * @typedef {import('./package.js').Package} Package
 * @typedef {import('./task.js').Task} Task
 * @typedef {import('./inputs/examples.js').Labelled} Labelled
 * @typedef {import('./rollout.js').Rollout} Rollout
 * @typedef {readonly string[] | ArrayLike<number> | readonly ArrayLike<number>[]} Labels of examples in order,
 *   or the targets of a regression
 * @typedef {{samples?: number, seed?: number | bigint, fresh?: Iterable<string>}} Draws so many draws of
 *   the learner's noise, which follow from the seed: answers are means over them; and classes beyond those
 *   that the package names
 */

export const MAX_SAMPLES = 1000

/** What `load` returns. */
export class Learner {
  /** @param {Package} pack @param {Ort} ort @param {{options?: object, warn?: import('./unlike.js').Warn}} [how] */
  constructor(pack, ort, { options, warn = ({ message }) => console.warn(message) } = {}) {
    this.manifest = pack.manifest
    this.identity = pack.identity
    this.engine = new Engine(pack, ort, options)
    this.watch = new Watch(pack.manifest, warn)
  }

  /** The package's name. */
  get name() {
    return this.manifest.name
  }

  /** What an example has to be. */
  get input() {
    return this.manifest.input
  }

  /**
   * A task from labelled examples: the support set.
   *
   * `examples` are pairs of a label and its examples, or a Map; or a list of examples with a list of
   * labels, one each; shots may differ from class to class. In a regression the second argument are the
   * targets, [S] or [S, O]. An example is, by `learner.input.kind`:
   *
   * - `image`: an ImageData, or {data, width, height} of RGBA or RGB, of any size; in a browser also a
   *   canvas, an image, a video, a Blob, an ImageBitmap or a VideoFrame;
   * - `audio`: {samples, rate}, an AudioBuffer, or samples at `learner.input.rate` hertz;
   * - `array`: an array of the package's shape, integers or floats; a recording {readings, times}.
   *
   * An array is a typed array, lists of numbers (floats), or {data, shape}. A policy is given a rollout and
   * nothing else: {observations, actions, rewards}, what the task of `start` did.
   * @param {Labelled | Rollout} examples
   * @param {Labels | Draws} [labels] of examples in order, or their targets
   * @param {Draws} [draws]
   * @returns {Promise<Task>}
   */
  async adapt(examples, labels, draws) {
    if (this.manifest.task === 'policy') return (await this.start()).add(examples, /** @type {any} */ (labels))
    if (draws === undefined && isDraws(labels)) [labels, draws] = [undefined, labels]
    const seed = this.#seed(draws)
    const support = await gather(this.engine, this.watch, examples, labels, { fresh: draws?.fresh })
    return adapted(this, support, draws?.samples ?? 1, seed)
  }

  /** The classes that every task of the package has; empty where each task has its own. @returns {string[]} */
  get classes() {
    return this.manifest.classes ?? []
  }

  /** The task without any example: everybody's classifier, or a policy that has not acted. @returns {Promise<Task>} */
  async start() {
    if (!this.classes.length && this.manifest.task !== 'policy') {
      throw new SupportSetError(`package ${this.name} names no classes`,
        'adapt it to examples of your own: learner.adapt([[label, examples]])')
    }
    return adapted(this, classified(new Float32Array(0), [], this.classes), 1, null)
  }

  /**
   * The task that `Task.save` gave, here or in Python, with the same answers.
   * @param {Uint8Array | ArrayBuffer | Blob} file
   * @returns {Promise<Task>}
   */
  async loadTask(file) {
    const bytes = file instanceof Uint8Array ? file
      : new Uint8Array(file instanceof Blob ? await file.arrayBuffer() : file)
    return (await import('./task_file.js')).readTask(bytes, this)
  }

  /** Makes every session, and runs them once, so that the first answer waits for nothing. */
  async prepare() {
    await this.engine.prepare()
    const { limits, input, task } = this.manifest
    const labelled = task === 'classification'
    const way = labelled ? limits.way.min : targetsOf(this.manifest)
    const shot = Math.max(1, limits.shot.min)
    const count = Math.max(limits.support.min, labelled ? way * shot : shot)
    const size = product(input.shape)
    const x = Float32Array.from({ length: count * size }, (_, i) => (i * 7919 % 101) / 101)
    const y = Float32Array.from({ length: count * way }, (_, i) =>
      Math.floor(i / way) % way === i % way ? 1 : 0)
    try {
      const h = await this.engine.embed(x, count)
      const state = await this.engine.adapt(h, y, count)
      await this.engine.predict(state, h, count)
    } catch (error) { // what was made up need not be an example that this package can learn from
      if (!(error instanceof HandfulError)) throw error
    }
  }

  /** Frees the memory of its sessions; nothing can be adapted or asked afterwards. */
  dispose() {
    return this.engine.dispose()
  }

  /** @param {Draws | undefined} draws */
  #seed(draws) {
    const { samples, seed } = draws ?? {}
    if (samples === undefined && seed === undefined) return null
    const whole = typeof seed === 'bigint' || Number.isInteger(seed)
    const fits = Number.isInteger(samples) && Number(samples) >= 1 && Number(samples) <= MAX_SAMPLES
    if (!fits || !whole || Number(seed) < 0) {
      throw new AdaptError(`samples is ${shown(samples)} and seed ${shown(seed)}, wanted 1 to ${MAX_SAMPLES}`
        + ' and a whole number', '{samples: 10, seed: 0}')
    }
    if (!this.manifest.stages.some((stage) => stage.noise.length)) {
      throw new AdaptError(`package ${this.name} has no noise: all samples would be the same`,
        'adapt without samples')
    }
    return BigInt(/** @type {number} */ (seed))
  }
}

/** @param {any} value @returns {value is Draws} */
const isDraws = (value) => Boolean(value) && !Array.isArray(value) && !ArrayBuffer.isView(value)
  && ('samples' in value || 'seed' in value || 'fresh' in value)

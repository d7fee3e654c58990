// Examples of none of a task's classes: a comparison that rejects, and a threshold that fits them.
// docs/package-format.md has both rules, docs/confidence.md what they were measured to gain.
import { offered, scoreOf } from './confidence.js'
import { SupportSetError } from './errors.js'
import { product } from './manifest.js'
import { argmax, concatenated, mean, median, variance } from './numbers.js'
import { chosen, oneHot, shotsOf } from './support.js'

/**
 * @typedef {import('./engine.js').Engine} Engine
 * @typedef {import('./engine.js').State} State
 * @typedef {import('./support.js').Support} Support
 * @typedef {import('./confidence.js').Sizes} Sizes
 */

export const MAX_NEGATIVES = 1000
export const LEAST = 5 // negatives that make thresholds where the package has none
const PRIOR = 2 // negatives that the package's own measurement counts for
const MIDDLE = 0.5 // the rate by which scores are compared
const GROUP = 100 // negatives beside the classes at a time: memory grows with them
const PIECE = 64 // queries answered at a time, for the same reason
const LEFT_OUT = 50 // examples of the task that are left out one by one
const RATES = [0.01, 0.5] // of false accepts: the thresholds that negatives alone give
const WEIGHTS = [0, 0.5, 1] // of the mean of the other logits in a score, of which one is chosen

/** What a share up to ½ of Student's t with 4 degrees of freedom lies above. @param {number} rate */
function student(rate) {
  const root = Math.sqrt(4 * rate * (1 - rate))
  return 2 * Math.sqrt(Math.max(0, Math.cos(Math.acos(root) / 3) / root - 1))
}

/** Embedded examples [M, …] of none of the classes, and what they say about a task. */
export class Negatives {
  /** @type {Map<string, Promise<any>>} what was computed when it was first asked for */
  #made = new Map()

  /**
   * @param {Float32Array} x @param {Engine} engine @param {Support} support
   * @param {State[]} states of the task
   */
  constructor(x, engine, support, states) {
    this.x = x
    this.engine = engine
    this.support = support
    this.states = states
    this.size = product(engine.inner)
    this.count = x.length / this.size
    this.measured = engine.manifest.confidence.length > 0
    const least = this.measured ? 1 : LEAST
    if (this.count < least || this.count > MAX_NEGATIVES) {
      throw new SupportSetError(`${this.count} negatives, wanted ${least} to ${MAX_NEGATIVES}`,
        this.measured ? undefined : 'the package has no thresholds, they are made of these')
    }
  }

  /** @template T @param {string} name @param {() => Promise<T>} make @returns {Promise<T>} */
  #once(name, make) {
    const found = this.#made.get(name) ?? make()
    this.#made.set(name, found)
    return found
  }

  /** @param {State} state @param {Float32Array} x @returns {Promise<Float32Array[]>} */
  async predict(state, x) {
    const rows = []
    for (let at = 0; at < x.length; at += PIECE * this.size) {
      const part = x.slice(at, at + PIECE * this.size)
      rows.push(...await this.engine.predict(state, part, part.length / this.size))
    }
    return rows
  }

  /** What the task answers for the examples: rows of each of its states. */
  logits() {
    return this.#once('logits', () => Promise.all(this.states.map((state) => this.predict(state, this.x))))
  }

  /** States of the task with groups of the examples, each as a class of its own. */
  beside() {
    return this.#once('beside', async () => {
      const { engine, support } = this
      const { limits } = engine.manifest
      const way = support.classes.length
      const room = Math.min((limits.way.max ?? way + GROUP) - way,
        (limits.support.max ?? support.count + GROUP) - support.count, GROUP)
      /** @type {{state: State, x: Float32Array}[]} */
      const states = []
      if (room < 1 || limits.shot.min > 1) return states
      const index = new Map(support.classes.map((label, i) => [label, i]))
      for (let at = 0; at < this.count; at += room) {
        const x = this.x.subarray(at * this.size, Math.min(at + room, this.count) * this.size)
        const more = x.length / this.size
        const classes = support.labels.map((label) => index.get(label) ?? 0)
        for (let i = 0; i < more; i++) classes.push(way + i)
        const state = await engine.adapt(concatenated([support.x, x]), oneHot(classes, way + more),
          support.count + more)
        states.push({ state, x })
      }
      return states
    })
  }

  /** Which embedded queries are most like one of the examples. @param {Float32Array} x @returns {Promise<boolean[]>} */
  async rejects(x) {
    const way = this.support.classes.length
    const found = Array(x.length / this.size).fill(false)
    for (const { state } of await this.beside()) {
      const rows = await this.predict(state, x)
      rows.forEach((row, i) => {
        found[i] ||= Math.max(...row.subarray(way)) > Math.max(...row.subarray(0, way))
      })
    }
    return found
  }

  /** Which examples the comparison with the others of their group does not reject. */
  passes() {
    return this.#once('passes', async () => {
      const way = this.support.classes.length
      const beside = await this.beside()
      if (!beside.length) return Array(this.count).fill(true)
      /** @type {boolean[]} */
      const passes = []
      for (const { state, x } of beside) {
        const rows = await this.predict(state, x)
        rows.forEach((row, own) => { // an example is not compared with itself
          const others = Math.max(...row.subarray(way).filter((_, i) => i !== own), -Infinity)
          passes.push(others <= Math.max(...row.subarray(0, way)))
        })
      }
      return passes
    })
  }

  /**
   * The threshold of each class that lets pass `rate` of what is like the examples: none is lower than
   * the package's for this rate, or higher than its strictest.
   * @param {Sizes} sizes @param {number} rate @param {number[]} shots
   */
  async thresholds(sizes, rate, shots) {
    const usual = sizes.scores(rate, shots)
    const passes = await this.passes()
    const rows = await this.logits()
    const passed = passes.flatMap((is, i) => is ? [mean(rows.map((of) => sizes.score(of[i])))] : [])
    const count = passed.length
    let raised = 0
    if (count) {
      const middle = mean(sizes.scores(MIDDLE, shots))
      raised = Math.max(0, median(passed) - middle) * count / (count + PRIOR)
    }
    const share = (count + PRIOR) / (this.count + PRIOR)
    const asked = sizes.scores(Math.min(MIDDLE, rate / share), shots)
    const strictest = sizes.scores(sizes.first.thresholds[0].false_accepts, shots)
    return asked.map((score, i) => Math.min(Math.max(score + raised, usual[i]), strictest[i]))
  }

  /**
   * Which queries score above the threshold of `rate`, for a package without thresholds of its own.
   * @param {Float32Array[][]} logits rows of each state @param {unknown} rate
   */
  async above(logits, rate) {
    const name = `a task of package ${this.engine.manifest.name} with negatives`
    const tail = student(offered(rate, RATES, 'unknown', name))
    const spread = await this.spread()
    const least = spread.mean + tail * Math.sqrt(1 + 1 / this.count) * spread.deviation
    return logits[0].map((_, i) => mean(logits.map((of) => scoreOf(of[i], spread.weight))) > least)
  }

  /** Of the negatives' scores, with the weight that sets them furthest from known ones. */
  spread() {
    return this.#once('spread', async () => {
      const known = await this.leftOut()
      const rows = await this.logits()
      const several = known.length > 1
      const found = (several ? WEIGHTS : WEIGHTS.slice(0, 1)).map((weight) => {
        const others = Array.from({ length: this.count }, (_, i) =>
          mean(rows.map((of) => scoreOf(of[i], weight))))
        const own = known.map((row) => scoreOf(row, weight))
        const middle = mean(others)
        const squared = several ? (variance(others, 1) + variance(own, 1)) / 2 : variance(others, 1)
        const apart = several ? (mean(own) - middle) / Math.max(Math.sqrt(squared), 1e-30) : 0
        return { apart, weight, mean: middle, deviation: Math.sqrt(squared) }
      })
      return found[argmax(found.map(({ apart }) => apart))] // of equals the smallest weight
    })
  }

  /** Logits of examples of the task, each by the task without it, with zero noise. */
  async leftOut() {
    const { engine, support } = this
    const { limits } = engine.manifest
    const shots = new Map(shotsOf(support).map((shot, i) => [support.classes[i], shot]))
    const enough = support.labels.flatMap((label, i) =>
      (shots.get(label) ?? 0) > Math.max(1, limits.shot.min) ? [i] : [])
    const rows = support.count > limits.support.min ? enough : []
    const every = Math.ceil(rows.length / LEFT_OUT)
    const found = []
    for (let i = 0; i < rows.length; i += every) {
      const row = rows[i]
      const keep = support.labels.flatMap((_, k) => k === row ? [] : [k])
      const part = chosen(support, keep, engine.manifest, engine.inner)
      // classes stay in their order, whichever example of them comes first now
      const index = support.classes
      const y = oneHot(part.labels.map((label) => index.indexOf(label)), index.length)
      const state = await engine.adapt(part.x, y, part.count)
      const query = support.x.slice(row * this.size, (row + 1) * this.size)
      found.push(...await engine.predict(state, query, 1))
    }
    return found
  }
}

// How sure an answer is: temperature, thresholds and sets between the sizes that were measured.
// docs/package-format.md, "How sure", has the rule; docs/confidence.md what it is good for.
import { AdaptError, shown } from './errors.js'

/** @typedef {import('./manifest.js').Manifest} Manifest */

const BEYOND = 2 // times the most classes that were measured: thresholds go on so far

/**
 * Linear between the points, the edge's value outside; x rises.
 * @param {number} x @param {number[]} xs @param {number[]} ys
 */
function interpolate(x, xs, ys) {
  if (x <= xs[0]) return ys[0]
  const i = xs.findIndex((other) => x <= other)
  if (i < 0) return ys[ys.length - 1]
  return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])
}

/** The largest logit less `others` times the mean of the others. @param {ArrayLike<number>} logits @param {number} others */
export function scoreOf(logits, others) {
  const row = Array.from(logits)
  const largest = Math.max(...row)
  if (!others || row.length < 2) return largest
  return largest - others * (row.reduce((a, b) => a + b, 0) - largest) / (row.length - 1)
}

/** @param {ArrayLike<number>} logits @param {number} [temperature] */
export function softmax(logits, temperature = 1) {
  const row = Array.from(logits)
  const largest = Math.max(...row)
  const powers = row.map((logit) => Math.exp((logit - largest) / temperature))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / sum)
}

/**
 * The rate, an AdaptError unless it lies within those that are offered.
 * @param {unknown} rate @param {number[]} rates @param {string} name @param {string} of
 * @returns {number}
 */
export function offered(rate, rates, name, of) {
  const [least, most] = [rates[0], rates[rates.length - 1]]
  if (typeof rate !== 'number' || !(rate >= least && rate <= most)) {
    throw new AdaptError(`${name} is ${shown(rate)}, ${of} has ${least} to ${most}`,
      `give a share, as ${name}: ${rates[Math.floor(rates.length / 2)]}`)
  }
  return rate
}

/** The measured sizes as a grid, and any number of an entry between them. */
export class Sizes {
  /** @param {Manifest} manifest */
  constructor(manifest) {
    this.name = manifest.name
    this.entries = manifest.confidence
    if (!this.entries.length) {
      throw new AdaptError(`package ${this.name} does not say how sure its answers are`,
        'task.withNegatives(others) makes thresholds for unknown queries')
    }
    this.ways = [...new Set(this.entries.map(({ way }) => way))]
    this.shots = [...new Set(this.entries.map(({ shot }) => shot))]
  }

  get first() {
    return this.entries[0]
  }

  /**
   * Linear in ln way and in 1 / shot; outside as at the edge, unless way goes `beyond`.
   * @param {(entry: import('./manifest.js').ConfidenceEntry) => number} value
   * @param {number} way @param {number} shot @param {boolean} [beyond]
   */
  at(value, way, shot, beyond = false) {
    // rising, as the numbers of shots are; none at all lies before one
    const place = (/** @type {number} */ k) => k ? -1 / k : -2
    const shots = this.shots.map(place)
    const ofWay = this.ways.map((_, i) => {
      const row = this.shots.map((__, j) => value(this.entries[i * this.shots.length + j]))
      return interpolate(place(shot), shots, row)
    })
    const ways = this.ways.map(Math.log)
    const last = ways.length - 1
    if (beyond && way > this.ways[last] && last) {
      const slope = (ofWay[last] - ofWay[last - 1]) / (ways[last] - ways[last - 1])
      return ofWay[last] + slope * (Math.log(way) - ways[last])
    }
    return interpolate(Math.log(way), ways, ofWay)
  }

  /** By which the logits of a task with these shots are divided. @param {number[]} shots */
  temperature(shots) {
    const of = (/** @type {any} */ entry) => Math.log(entry.temperature)
    return Math.exp(this.at(of, shots.length, Math.min(...shots)))
  }

  /** The score that an answer of each class needs, so that `rate` of others is accepted. @param {unknown} rate @param {number[]} shots */
  thresholds(rate, shots) {
    const rates = this.first.thresholds.map((threshold) => threshold.false_accepts)
    return this.scores(offered(rate, rates, 'unknown', `package ${this.name}`), shots)
  }

  /** As `thresholds`; a rate beyond those that are offered is the nearest one. @param {number} rate @param {number[]} shots */
  scores(rate, shots) {
    const most = BEYOND * this.ways[this.ways.length - 1]
    if (shots.length > most) {
      throw new AdaptError(`the thresholds of package ${this.name} were measured with ${this.ways[0]} to`
        + ` ${this.ways[this.ways.length - 1]} classes, the task has ${shots.length}`,
      `they are continued up to ${most} classes`)
    }
    const rates = this.first.thresholds.map((threshold) => Math.log(threshold.false_accepts))
    const of = (/** @type {any} */ entry) => interpolate(Math.log(rate), rates,
      entry.thresholds.map((/** @type {any} */ threshold) => threshold.score))
    return shots.map((shot) => this.at(of, shots.length, shot, true))
  }

  /** Labels of at least this probability hold the right one in `coverage` of cases. @param {unknown} coverage @param {number[]} shots */
  probability(coverage, shots) {
    const coverages = this.first.sets.map((set) => set.coverage)
    const share = offered(coverage, coverages, 'coverage', `package ${this.name}`)
    const leftOut = coverages.map((c) => -Math.log1p(-c))
    const of = (/** @type {any} */ entry) => interpolate(-Math.log1p(-share), leftOut,
      entry.sets.map((/** @type {any} */ set) => set.probability))
    return this.at(of, shots.length, Math.min(...shots))
  }

  /** @param {ArrayLike<number>} logits */
  score(logits) {
    return scoreOf(logits, this.first.others)
  }
}

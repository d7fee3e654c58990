// Warnings where examples have nothing in them, or are far from what a package was trained on.
import { NOTHING } from './inputs/examples.js'

/**
 * @typedef {import('./manifest.js').Manifest} Manifest
 * @typedef {{kind: 'unlike' | 'empty', message: string}} Warning
 * @typedef {(warning: Warning) => void} Warn
 */

const MARGIN = 0.5 // of the width between the percentiles, on either side
const LEAST_WIDTH = 0.1 // of the largest number: where examples were standardised the width is rounding
const MOST_NAMED = 5

/** `a`, `a and b`, `a, b and c`. @param {string[]} names */
const listed = (names) =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`

/** Says what is odd about examples: of unlike ones once for each loaded package. */
export class Watch {
  #warned = false

  /** @param {Manifest} manifest @param {Warn} warn */
  constructor(manifest, warn) {
    this.manifest = manifest
    this.warn = warn
  }

  /**
   * Names the examples with nothing in them, and says if half of the others are unlike.
   * @param {import('./inputs/examples.js').Batch} batch @param {boolean[]} found empty ones
   * @param {string} what `the queries are` @param {(at: number) => string} name @param {string} meaning
   */
  look({ x, count }, found, what, name, meaning) {
    const { seen, kind } = this.manifest.input
    const places = found.flatMap((is, at) => is ? [at] : [])
    if (places.length) {
      const names = places.slice(0, MOST_NAMED).map(name)
      if (places.length > MOST_NAMED) names.push(`${places.length - MOST_NAMED} more`)
      const has = places.length === 1 ? 'has nothing in it' : 'have nothing in them'
      this.warn({ kind: 'empty', message: `${listed(names)} ${has}: ${NOTHING[kind]}; ${meaning}` })
    }
    if (!seen || this.#warned || places.length === count) return
    const size = x.length / count
    let [far, known] = [0, 0]
    for (let i = 0; i < count; i++) {
      if (found[i]) continue
      known++
      const example = x.subarray(i * size, (i + 1) * size)
      const mean = example.reduce((a, b) => a + b, 0) / size
      const variance = example.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size
      if (outside(mean, seen.mean) || outside(Math.sqrt(variance), seen.deviation)) far++
    }
    if (2 * far < known) return
    this.#warned = true
    this.warn({ kind: 'unlike', message: `${what} unlike what package ${this.manifest.name} was trained`
      + ' on; its answers may mean nothing' })
  }
}

/** @param {number} value @param {[number, number]} bounds */
function outside(value, [low, high]) {
  const width = Math.max(high - low, LEAST_WIDTH * Math.max(Math.abs(low), Math.abs(high)))
  return value < low - MARGIN * width || value > high + MARGIN * width
}

// A stream of samples, block by block, to the words in it: windows asked about at the right time.
//
// A window is asked about when it is loud enough and the middle of its energy lies within half a step
// of its own middle: so the task hears a word as it is cut from a file, whole and once. After an answer
// the next word begins within half a window at the earliest.
import { InputError } from './errors.js'
import { asArray } from './inputs/arrays.js'
import { knownRate, middle, unscaled } from './inputs/sounds.js'

/**
 * @typedef {import('./task.js').Task} Task
 * @typedef {{label: string | null, probability?: number, probabilities: Map<string, number>,
 *   start: number}} Heard an answer; `start` is in seconds from the stream's beginning to that of its window
 * @typedef {{every?: number, quiet?: number, sure?: number, unknown?: number}} Hearing windows are
 *   `every` seconds apart; one with a root mean square below `quiet` is not asked about, an answer less
 *   probable than `sure` is none; with `unknown` what is none of the words is heard as null
 */

/** Hears a task's words in a stream; one for each stream. */
export class Listener {
  /** @param {Task} task @param {number} rate of the stream, in samples a second @param {Hearing} [how] */
  constructor(task, rate, { every = 0.05, quiet = 0.01, sure = 0.5, unknown } = {}) {
    const { input, name } = task.learner
    if (input.kind !== 'audio') {
      throw new InputError(`package ${name} takes no sound`, 'one whose input is audio does')
    }
    for (const [key, value] of Object.entries({ every, quiet, sure })) {
      if (!(value > 0 && value <= 1)) throw new InputError(`${key} is ${value}, wanted more than 0, up to 1`)
    }
    this.task = task
    this.rate = knownRate(rate, 'rate is')
    this.quiet = quiet
    this.sure = sure
    this.unknown = unknown
    this.window = Math.ceil(input.shape[0] * rate / (input.rate ?? rate))
    this.step = Math.max(1, Math.round(every * rate))
    const before = Math.floor(this.window / 2) // silence, so that a word at the beginning has its middle
    this.buffer = new Float64Array(before)
    this.recorded = new Uint8Array(before) // which samples of the buffer the stream had
    this.start = -before // of the buffer, in samples of the stream
    this.free = -before // no window is asked about that starts before
  }

  /**
   * The words that end within this block of samples [n].
   * @param {any} block
   * @returns {Promise<Heard[]>}
   */
  async feed(block) {
    const { data, shape } = asArray(block, 'block')
    if (shape.length !== 1) throw new InputError(`block has shape [${shape}], wanted samples [n]`)
    return this.#hear(unscaled(data, 'block', true), 1)
  }

  /** The words at the stream's end, as if silence came after it. @returns {Promise<Heard[]>} */
  close() {
    return this.#hear(new Float64Array(this.window), 0)
  }

  /** @param {Float64Array} samples @param {0 | 1} recorded */
  async #hear(samples, recorded) {
    const kept = this.buffer.length
    const buffer = new Float64Array(kept + samples.length)
    buffer.set(this.buffer)
    buffer.set(samples, kept)
    const own = new Uint8Array(buffer.length).fill(recorded)
    own.set(this.recorded)
    const windows = []
    let at = 0
    for (; buffer.length - at >= this.window; at += this.step, this.start += this.step) {
      const window = buffer.slice(at, at + this.window)
      const mine = window.filter((_, i) => own[at + i]) // the silence before and after has no offset
      if (mine.length) {
        const mean = mine.reduce((a, b) => a + b, 0) / mine.length
        windows.push({ start: this.start, window: window.map((x, i) => own[at + i] ? x - mean : x) })
      } else windows.push({ start: this.start, window })
    }
    this.buffer = buffer.slice(at)
    this.recorded = own.slice(at)
    /** @type {Heard[]} */
    const heard = []
    for (const { start, window } of windows) {
      const found = await this.#ask(window, start)
      if (found) heard.push(found)
    }
    return heard
  }

  /** @param {Float64Array} window @param {number} start @returns {Promise<Heard | null>} */
  async #ask(window, start) {
    const loud = Math.sqrt(window.reduce((sum, x) => sum + x * x, 0) / window.length) >= this.quiet
    const away = Math.abs(middle(window) - (window.length - 1) / 2)
    if (start < this.free || !loud || away > this.step / 2) return null
    const ask = this.unknown === undefined ? {} : { unknown: this.unknown }
    const answer = await this.task.predict({ samples: window, rate: this.rate }, ask)
    if (answer.label !== null && answer.probability < this.sure) return null
    this.free = start + Math.floor(window.length / 2)
    return { ...answer, start: Math.max(0, start) / this.rate }
  }
}

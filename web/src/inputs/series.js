// Recordings to examples of a package that takes series [T, C]: docs/package-format.md, "From a
// recording to examples".
//
// s_k = t_k − t_0 of times,  s_0 = 0, s_k = s_k−1 + the way from reading k − 1 to reading k
// u_m = s_n−1 · m / (T − 1)
// y_m = x_j−1 + (u_m − s_j−1) / (s_j − s_j−1) · (x_j − x_j−1),  j the first with s_j ≥ u_m
import { InputError, shown } from '../errors.js'
import { asArray, isIntegers } from './arrays.js'

/**
 * @typedef {import('../manifest.js').InputSpec} InputSpec
 * @typedef {import('./arrays.js').Shaped} Shaped
 */

const STILL = 1e-6 // of the largest value: how far readings that never change are apart
const EVEN = 1e-3 // of a step: times that differ by less are even, and so are rates
const MAX_VALUES = 2 ** 26

/** Whether a package takes recordings [n, C]. @param {InputSpec} spec */
export const isSeries = (spec) => spec.kind === 'array' && spec.shape.length === 2

/**
 * The times of a recording's readings from the first on, in seconds; never falling.
 * @param {any} times @param {number} count @param {string} what
 */
function fromFirst(times, count, what) {
  const list = Float64Array.from(times)
  const falls = list.some((time, k) => !Number.isFinite(time) || (k && time < list[k - 1]))
  if (list.length !== count || falls) {
    throw new InputError(`${what} has ${list.length} times for ${count} readings, wanted one each that`
      + ' never falls')
  }
  return list.map((time) => time - list[0])
}

/**
 * The examples of one recording: whole, or windows, at the package's rate where both have one.
 * @param {Shaped} recording readings [n, C]
 * @param {InputSpec} spec
 * @param {string} what
 * @param {{times?: ArrayLike<number> | null, hop?: number}} [how] times in seconds; readings from
 *   window to window
 * @returns {Float32Array[]}
 */
export function recordingExamples(recording, spec, what, { times = null, hop } = {}) {
  const { data, shape: [count, channels] } = recording
  if (recording.shape.length !== 2 || !count || channels !== spec.shape[1]) {
    throw new InputError(`${what} has the shape ${shown(recording.shape)}, wanted readings`
      + ` [n, ${spec.shape[1]}]`)
  }
  const x = Float64Array.from(/** @type {Float64Array} */ (data), Number)
  const seconds = times ? fromFirst(times, count, what) : null
  const integers = isIntegers(data)
  if (spec.whole) {
    const s = places(x, channels, spec, seconds, what)
    const length = spec.shape[0]
    const end = s[count - 1]
    const u = Float64Array.from({ length }, (_, m) => m < length - 1 ? end * m / (length - 1) : end)
    return [scaled(between(x, channels, s, u, spec), integers, spec)]
  }
  let floats = scaled(Float64Array.from(x), integers, spec)
  if (spec.rate && seconds && !isAtRate(seconds, spec.rate)) {
    const end = seconds[count - 1]
    if (!(end * spec.rate * channels < MAX_VALUES)) {
      throw new InputError(`${what} lasts ${end} s, too long at ${spec.rate} readings a second`,
        'cut the recording into parts; look at its times')
    }
    const u = Float64Array.from({ length: Math.floor(end * spec.rate) + 1 },
      (_, m) => m / /** @type {number} */ (spec.rate))
    floats = scaled(between(x, channels, seconds, u, spec), integers, spec)
  }
  const cut = windows({ data: floats, shape: [floats.length / channels, channels] }, spec.shape[0], hop)
  return cut.map((window) => /** @type {Float32Array} */ (window.data))
}

/** Whether a recording is left as it is. @param {Float64Array} seconds @param {number} rate */
function isAtRate(seconds, rate) {
  const end = seconds[seconds.length - 1]
  if (!end) return true
  const own = (seconds.length - 1) / end
  const even = seconds.every((time, k) => !k || Math.abs((time - seconds[k - 1]) * own - 1) < EVEN)
  return even && Math.abs(own / rate - 1) < EVEN
}

/**
 * How far along each reading is: s [n], from 0, never falling.
 * @param {Float64Array} x @param {number} channels @param {InputSpec} spec
 * @param {Float64Array | null} seconds @param {string} what
 */
function places(x, channels, spec, seconds, what) {
  const count = x.length / channels
  const steps = Float64Array.from({ length: count }, (_, k) => k)
  let s = seconds ?? steps
  if (spec.whole === 'path') {
    s = new Float64Array(count)
    for (let k = 1; k < count; k++) {
      let squared = 0
      spec.channels?.forEach(({ kind }, c) => {
        if (kind !== 'place') return
        const way = x[k * channels + c] - x[(k - 1) * channels + c]
        squared += way * way
      })
      s[k] = s[k - 1] + Math.sqrt(squared)
    }
  }
  if (!Number.isFinite(s[count - 1])) {
    throw new InputError(`${what} has readings that are too far apart to measure the way`)
  }
  return s[count - 1] > 0 ? s : steps // a point, or readings of one time: each counts the same
}

/**
 * x at s, read at the rising places u: on the straight line, or of a state as on the way to the next.
 * @param {Float64Array} x @param {number} channels @param {Float64Array} s @param {Float64Array} u
 * @param {InputSpec} spec
 */
function between(x, channels, s, u, spec) {
  const y = new Float64Array(u.length * channels)
  let j = 0
  u.forEach((at, m) => {
    while (j < s.length - 1 && s[j] < at) j++
    const before = Math.max(j - 1, 0)
    const there = s[j] <= at // at the reading itself
    const share = there ? 0 : (at - s[before]) / (s[j] - s[before])
    for (let c = 0; c < channels; c++) {
      const [last, next] = [x[before * channels + c], x[j * channels + c]]
      const holds = there || spec.channels?.[c].kind === 'state'
      y[m * channels + c] = holds ? next : last + share * (next - last)
    }
  })
  return y
}

/** float32, scaled where the readings were integers. @param {Float64Array} y @param {boolean} integers @param {InputSpec} spec */
function scaled(y, integers, spec) {
  const floats = Float32Array.from(y)
  return integers ? scaleIntegers(floats, spec) : floats
}

/** value × scale + offset, each operation in float32. @param {ArrayLike<number>} values @param {InputSpec} spec */
export function scaleIntegers(values, spec) {
  const [scale, offset] = [Math.fround(spec.scale), Math.fround(spec.offset)]
  return Float32Array.from(values, (value) => Math.fround(Math.fround(value) * scale) + offset)
}

/**
 * Windows [T, …] of a recording [n, …], of its own type.
 * @param {any} recording
 * @param {number} length T
 * @param {number} [hop] readings from window to window, by default half a window
 * @returns {Shaped[]}
 */
export function windows(recording, length, hop = Math.max(1, Math.floor(length / 2))) {
  const { data, shape } = asArray(recording, 'a recording')
  for (const [name, value] of /** @type {const} */ ([['length', length], ['hop', hop]])) {
    if (!Number.isInteger(value) || value < 1) {
      throw new InputError(`the ${name} of a window is ${shown(value)}, wanted 1 reading or more`)
    }
  }
  const [count, ...rest] = shape
  if (!count) throw new InputError(`a recording has the shape ${shown(shape)}, wanted readings [n, …]`)
  const row = rest.reduce((a, b) => a * b, 1)
  const of = (/** @type {any} */ values) => ({ data: values, shape: [length, ...rest] })
  if (count < length) {
    const Kind = /** @type {any} */ (data.constructor)
    const filled = new Kind(length * row)
    filled.set(data)
    for (let k = count; k < length; k++) filled.set(data.slice((count - 1) * row), k * row)
    return [of(filled)]
  }
  const number = 1 + Math.floor((count - length) / hop)
  if (number * length * row > MAX_VALUES) {
    throw new InputError(`${number} windows have ${number * length * row} values, at most ${MAX_VALUES}`,
      'cut the recording into parts, or use a larger hop')
  }
  return Array.from({ length: number }, (_, k) => of(data.slice(k * hop * row, (k * hop + length) * row)))
}

/** A stream of readings, in as it comes, and out the windows that are full. */
export class Windows {
  /** @param {number} length readings of a window @param {number} [hop] from window to window */
  constructor(length, hop = Math.max(1, Math.floor(length / 2))) {
    windows(new Float32Array(1), length, hop)
    this.length = length
    this.hop = hop
    /** @type {number[][]} */
    this.kept = []
    this.ahead = 0
  }

  /**
   * The windows that a block of readings [n, C] has filled, in their order.
   * @param {any} readings
   * @returns {Shaped[]}
   */
  feed(readings) {
    const { data, shape: [count, channels = 1] } = asArray(readings, 'a block')
    if (this.kept.length && this.kept[0].length !== channels) {
      throw new InputError(`a block has ${channels} channels, those before had ${this.kept[0].length}`)
    }
    for (let k = 0; k < count; k++) {
      if (this.ahead) this.ahead--
      else this.kept.push(Array.from(/** @type {any} */ (data.slice(k * channels, (k + 1) * channels))))
    }
    const full = []
    while (this.kept.length >= this.length) {
      const window = Float32Array.from(this.kept.slice(0, this.length).flat())
      full.push({ data: window, shape: [this.length, channels] })
      this.ahead = Math.max(0, this.hop - this.kept.length)
      this.kept = this.kept.slice(this.hop)
    }
    return full
  }
}

/** Whether an example never changes along its first axis. @param {Float32Array} x @param {InputSpec} spec */
export function isStill(x, { shape }) {
  if (shape.length < 2 || shape[0] < 2) return false
  const row = x.length / shape[0]
  let [moved, largest] = [0, 0]
  for (let c = 0; c < row; c++) {
    let [low, high] = [Infinity, -Infinity]
    for (let i = c; i < x.length; i += row) {
      low = Math.min(low, x[i])
      high = Math.max(high, x[i])
    }
    moved = Math.max(moved, Math.fround(high - low))
    largest = Math.max(largest, Math.abs(low), Math.abs(high))
  }
  return moved <= STILL * largest
}

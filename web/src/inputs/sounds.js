// Recorded samples to an example, and the samples of a WAV file: docs/package-format.md, "From a sound
// to an example".
//
// y_m = Σ_k x_k f(c (m r/s − k)) / Σ_k f(c (m r/s − k))     from r to s samples a second
// f(u) = sin(πu)/(πu) · cos²(πu / 2Z) for |u| < Z, else 0,  c = 0.97 · min(1, s/r)
import { InputError, shown } from '../errors.js'
import { isTyped } from './arrays.js'

/**
 * @typedef {import('../manifest.js').InputSpec} InputSpec
 * @typedef {import('./arrays.js').Typed} Typed
 * @typedef {{samples: Typed | Typed[], rate: number}} Sound as it was recorded: one channel or a list
 *   of several; floats from -1 to 1, int16, int32 or uint8, so many a second
 */

const ZEROS = 32 // Z, of the sinc on either side
const CUT = 0.97 // of the lower of both Nyquist frequencies, where f has half its height
const TABLE = 2 ** 20 // weights that are kept
const MAX_SAMPLES = 2 ** 23 // of all channels, and at the new rate
const MAX_CHANNELS = 16
const [MIN_RATE, MAX_RATE] = [4000, 192_000]
const NO_ENERGY = 1e-12 // of a sample, on average: what rounding leaves of a constant
const SILENCE = 1e-4 // root mean square: three steps of 16 bits
const SLACK = 1e-5 // floats may be beyond ±1 by a rounding
const FORMS = 'samples are floats from -1 to 1, int16, int32 or uint8: {samples, rate}'

/**
 * Samples as floats from −1 to 1; `beyond`: floats that are beyond will be limited.
 * @param {Typed} samples @param {string} what @param {boolean} beyond
 */
export function unscaled(samples, what, beyond) {
  const [middle, scale] = samples instanceof Uint8Array ? [128, 128]
    : samples instanceof Int16Array ? [0, 2 ** 15]
      : samples instanceof Int32Array ? [0, 2 ** 31] : [0, 1]
  if (scale === 1 && !(samples instanceof Float32Array || samples instanceof Float64Array)) {
    throw new InputError(`${what} is of type ${samples.constructor.name}`, FORMS)
  }
  const most = scale > 1 || beyond ? Infinity : 1 + SLACK
  return Float64Array.from(/** @type {Float64Array} */ (samples), (sample) => {
    const value = (sample - middle) / scale
    if (!Number.isFinite(Math.fround(value))) {
      throw new InputError(`${what} has values that are not finite`, 'look for NaN in it')
    }
    if (Math.abs(value) > most) {
      throw new InputError(`${what} has values beyond -1 to 1`,
        'divide 16-bit samples by 32768, or give them as an Int16Array')
    }
    return value
  })
}

/** A number of samples a second. @param {any} rate @param {string} words */
export function knownRate(rate, words) {
  if (!Number.isInteger(rate) || rate < MIN_RATE || rate > MAX_RATE) {
    throw new InputError(`${words} ${shown(rate)}, wanted ${MIN_RATE} to ${MAX_RATE} samples a second`)
  }
  return rate
}

/**
 * A sound as the package wants an example: float32 [L].
 * @param {Sound} sound @param {InputSpec} spec @param {string} what
 * @param {boolean} [beyond] whether floats beyond ±1 are limited, not refused
 */
export function prepareSound({ samples, rate }, spec, what, beyond = true) {
  knownRate(rate, `${what} has the rate`)
  const channels = Array.isArray(samples) ? samples : [samples]
  const length = channels[0]?.length
  const even = channels.length <= MAX_CHANNELS
    && channels.every((channel) => isTyped(channel) && channel.length === length)
  if (!length || !even) throw new InputError(`${what} has no samples, or uneven channels`, FORMS)
  const own = spec.rate ?? rate
  const fresh = Math.ceil(length * own / rate)
  if (Math.max(length * channels.length, fresh) > MAX_SAMPLES) {
    throw new InputError(`${what} has ${length} samples, ${fresh} at ${own} hertz; at most`
      + ` ${MAX_SAMPLES}`, 'cut the example out of it; a Listener hears streams')
  }
  const mono = oneChannel(channels.map((channel) => unscaled(channel, what, beyond)))
  return cut(resampled(withoutOffset(mono), rate, own), spec.shape[0])
}

/** @param {Float64Array[]} channels */
export function oneChannel(channels) {
  if (channels.length === 1) return channels[0]
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length)
}

/** Samples less their mean: microphones and sound cards add a constant. @param {Float64Array} x */
export function withoutOffset(x) {
  const mean = x.reduce((a, b) => a + b, 0) / x.length
  return x.map((value) => value - mean)
}

/** @param {number} u */
function kernel(u) {
  if (u === 0) return 1
  if (Math.abs(u) >= ZEROS) return 0
  return Math.sin(Math.PI * u) / (Math.PI * u) * Math.cos(Math.PI * u / (2 * ZEROS)) ** 2
}

/** @param {number} a @param {number} b @returns {number} */
const divisor = (a, b) => b ? divisor(b, a % b) : a

/** x from r to s samples a second. @param {Float64Array} x @param {number} r @param {number} s */
export function resampled(x, r, s) {
  if (r === s) return x
  const common = divisor(r, s)
  const [up, down] = [s / common, r / common]
  const c = CUT * Math.min(1, up / down)
  const reach = Math.ceil(ZEROS / c)
  const width = 2 * reach + 1
  /** Of the old samples −reach … reach about a place at so many parts between two. @param {number} phase */
  const weights = (phase) => {
    const list = Float64Array.from({ length: width }, (_, i) => kernel(c * (phase / up - (i - reach))))
    const sum = list.reduce((a, b) => a + b, 0)
    return list.map((weight) => weight / sum)
  }
  const count = Math.ceil(x.length * up / down)
  const kept = up * width <= TABLE ? Array(up) : null
  const found = new Float64Array(count)
  for (let m = 0; m < count; m++) {
    const place = m * down
    const whole = Math.floor(place / up)
    const phase = place % up
    const list = kept ? kept[phase] ??= weights(phase) : weights(phase)
    const from = whole - reach
    let sum = 0
    const end = Math.min(width, x.length - from)
    for (let i = Math.max(0, -from); i < end; i++) sum += x[from + i] * list[i]
    found[m] = sum
  }
  return found
}

/** The mean place of x's energy; of silence, its middle. @param {Float64Array} x */
export function middle(x) {
  let [energy, moment] = [0, 0]
  x.forEach((value, k) => {
    energy += value * value
    moment += k * value * value
  })
  return energy <= x.length * NO_ENERGY ? (x.length - 1) / 2 : moment / energy
}

/** L samples about the middle of the energy, or all and silence, within ±1. @param {Float64Array} x @param {number} length */
function cut(x, length) {
  const found = new Float32Array(length)
  const last = x.length - length
  const from = last < 0 ? 0 : Math.min(Math.max(Math.floor(middle(x) - (length - 1) / 2 + 0.5), 0), last)
  const to = last < 0 ? Math.floor(-last / 2) : 0
  x.subarray(from, from + length).forEach((value, i) => {
    found[to + i] = Math.max(-1, Math.min(1, value))
  })
  return found
}

/** Whether an example [L] has no sound in it. @param {Float32Array} x */
export function isSilent(x) {
  const mean = x.reduce((a, b) => a + b, 0) / x.length
  return Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length) < SILENCE
}

const WANTED = 'a WAV file of 8, 16, 24 or 32 bits, or of floats'
const GUID = [0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113]
const MAX_CHUNKS = 1000 // before the samples

/**
 * The sound in the bytes of a WAV file.
 * @param {Uint8Array} bytes
 * @param {string} [name]
 * @returns {Sound}
 */
export function readWav(bytes, name = 'the sound') {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  /** @param {string} why @param {string} [hint] @returns {never} */
  const refuse = (why, hint = 'record it again, or copy it again, as a whole') => {
    throw new InputError(`${name} ${why}`, hint)
  }
  /** @param {number} at */
  const tag = (at) => String.fromCharCode(...bytes.subarray(at, at + 4))
  if (tag(0) !== 'RIFF' || tag(8) !== 'WAVE') refuse('is not a WAV file that is read', WANTED)
  /** @type {{floats: boolean, channels: number, rate: number, size: number} | null} */
  let form = null
  let at = 12
  for (let chunk = 0; chunk < MAX_CHUNKS; chunk++) {
    if (at + 8 > bytes.length) refuse('has no samples: it ends before them')
    const [kind, size] = [tag(at), view.getUint32(at + 4, true)]
    at += 8
    if (kind === 'data') {
      if (!form) return refuse('has samples before their format')
      return samplesOf(view, at, knownSize(view, at, size), form, refuse)
    }
    if (size > bytes.length - at) refuse('is cut off in its header')
    if (kind === 'fmt ') form = formOf(view, at, size, refuse)
    at += size + size % 2
  }
  return refuse(`has more than ${MAX_CHUNKS} parts before its samples`, WANTED)
}

/** @param {DataView} view @param {number} at @param {number} size @param {(why: string, hint?: string) => never} refuse */
function formOf(view, at, size, refuse) {
  if (size < 16) refuse('is cut off in its header')
  let kind = view.getUint16(at, true)
  const channels = view.getUint16(at + 2, true)
  const rate = view.getUint32(at + 4, true)
  const block = view.getUint16(at + 12, true)
  const bits = view.getUint16(at + 14, true)
  if (kind === 0xfffe && size >= 40 && GUID.every((byte, i) => view.getUint8(at + 26 + i) === byte)) {
    kind = view.getUint16(at + 24, true)
  }
  const floats = kind === 3
  if (!floats && kind !== 1) refuse(`holds format ${kind}, wanted plain samples`, WANTED)
  if (!(floats ? [32, 64] : [8, 16, 24, 32]).includes(bits)) refuse(`has samples of ${bits} bits`, WANTED)
  knownRate(rate, 'the sound has')
  if (channels < 1 || channels > MAX_CHANNELS) {
    refuse(`has ${channels} channels, wanted 1 to ${MAX_CHANNELS}`)
  }
  if (block !== channels * bits / 8) refuse(`says ${block} bytes for ${channels} × ${bits} bits`)
  return { floats, channels, rate, size: bits / 8 }
}

/** What the header says, or all there is where its writer did not know. @param {DataView} view @param {number} at @param {number} size */
function knownSize(view, at, size) {
  const left = view.byteLength - at
  if (size > left) return left
  if (size) return size
  for (let chunk = 0, place = at; chunk < MAX_CHUNKS; chunk++) { // whole parts up to the end?
    if (place === view.byteLength) return 0
    if (place + 8 > view.byteLength) return left
    for (let i = 0; i < 4; i++) {
      const byte = view.getUint8(place + i)
      if (byte < 32 || byte > 126) return left
    }
    const more = view.getUint32(place + 4, true)
    place += 8 + more + more % 2
  }
  return left
}

/**
 * @param {DataView} view @param {number} at @param {number} bytes
 * @param {{floats: boolean, channels: number, rate: number, size: number}} form
 * @param {(why: string, hint?: string) => never} refuse
 * @returns {Sound}
 */
function samplesOf(view, at, bytes, { floats, channels, rate, size }, refuse) {
  const count = Math.floor(bytes / (size * channels))
  if (!count) refuse('has no samples')
  /** @type {(place: number) => number} */
  let read = (place) => view.getInt32(place, true)
  if (floats) read = (place) => size === 4 ? view.getFloat32(place, true) : view.getFloat64(place, true)
  else if (size === 1) read = (place) => view.getUint8(place)
  else if (size === 2) read = (place) => view.getInt16(place, true)
  else if (size === 3) { // the upper bytes of 32 bits
    read = (place) => (view.getInt8(place + 2) << 24) | (view.getUint16(place, true) << 8)
  }
  /** @type {any} */
  const Kind = floats ? Float64Array : size === 1 ? Uint8Array : size === 2 ? Int16Array : Int32Array
  const samples = Array.from({ length: channels }, (_, channel) =>
    Kind.from({ length: count }, (/** @type {unknown} */ __, /** @type {number} */ i) => read(at + (i * channels + channel) * size)))
  return { samples, rate }
}

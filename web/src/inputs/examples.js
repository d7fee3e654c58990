// What an application hands over, as examples that a package's graphs take.
//
// An example is an array of the package's shape; of pictures an ImageData or the like, of any size; of
// sounds {samples, rate}, an AudioBuffer, or samples at the package's rate; of series {readings, times}.
import { InputError, shown } from '../errors.js'
import { asArray, depth, isBytes, isIntegers, isTyped, MAX_EXAMPLES } from './arrays.js'
import { isBlank, pictureLevels } from './pictures.js'
import { isSeries, isStill, recordingExamples, scaleIntegers } from './series.js'
import { isSilent, prepareSound } from './sounds.js'

/**
 * @typedef {import('../manifest.js').InputSpec} InputSpec
 * @typedef {import('./arrays.js').Typed} Typed
 * @typedef {import('./arrays.js').Shaped} Shaped
 * @typedef {import('./sounds.js').Sound} Sound
 * @typedef {{data: Uint8Array | Uint8ClampedArray, width: number, height: number}} Picture RGB or RGBA: an
 *   ImageData is one
 * @typedef {{readings: Typed | Shaped | readonly (readonly number[])[], times?: ArrayLike<number> | null,
 *   hop?: number}} Recording of a series [n, C]; times in seconds
 * @typedef {Picture | Sound | Recording | Typed | Shaped} Example whatever is one; lists of numbers are taken too
 * @typedef {Example | readonly unknown[]} Examples one, or a list of them
 * @typedef {Iterable<readonly [string, Examples]> | Examples} Labelled pairs or a Map; or examples, their
 *   labels apart
 * @typedef {{x: Float32Array, count: number, single: boolean}} Batch `count` examples in a row
 */

/**
 * One for one example, a list for a list; of lists of numbers the package's shape says which.
 * @template Q, T
 * @typedef {Q extends readonly number[] ? T : Q extends readonly (readonly number[])[] ? T | T[]
 *   : Q extends readonly unknown[] ? T[] : T} Each
 */

const SLACK = 1e-5 // of the range's width: resampled floats may overshoot by a rounding
const TAKES = { image: 'pictures', audio: 'sound', array: 'arrays' }
export const NOTHING = {
  image: 'one colour all over (what is transparent is white paper)',
  audio: 'silence (channels that cancel out are silent together)',
  array: 'readings that never change',
}

/** @param {any} value */
const isPicture = (value) => isTyped(value?.data) && value.width > 0 && value.height > 0
/** @param {any} value */
const isSound = (value) => value?.samples !== undefined || typeof value?.getChannelData === 'function'
/** @param {any} value */
const isRecording = (value) => value?.readings !== undefined

/**
 * float32 examples in the package's shape, one after the other.
 * @param {any} examples one, a list of them, or an array with a leading axis
 * @param {InputSpec} spec
 * @param {string} what names them in errors: `query`
 * @returns {Batch}
 */
export function toBatch(examples, spec, what) {
  const axes = depth(examples)
  const several = Array.isArray(examples) && (!axes || axes > spec.shape.length)
  if (!several) {
    const { rows, single } = one(examples, spec, what)
    return join(rows, single, what)
  }
  return join(examples.flatMap((example, i) => {
    const { rows, single } = one(example, spec, `${what} ${i}`)
    if (!single && !isRecording(example)) {
      throw new InputError(`${what} ${i} is several, wanted one example in each place of a list`)
    }
    return rows
  }), false, what)
}

/** @param {Float32Array[]} rows @param {boolean} single @param {string} what @returns {Batch} */
function join(rows, single, what) {
  if (rows.length > MAX_EXAMPLES) {
    throw new InputError(`${rows.length} examples in one call (${what}), at most ${MAX_EXAMPLES}`,
      'give them in several calls')
  }
  const size = rows[0]?.length ?? 0
  const x = rows.length === 1 ? rows[0] : new Float32Array(size * rows.length)
  if (rows.length > 1) rows.forEach((row, i) => x.set(row, i * size))
  return { x, count: rows.length, single }
}

/**
 * What one value holds: one example, or of an array with a leading axis and a recording several.
 * @param {any} value @param {InputSpec} spec @param {string} what
 * @returns {{rows: Float32Array[], single: boolean}}
 */
function one(value, spec, what) {
  for (const [kind, is] of /** @type {const} */ ([
    ['image', isPicture], ['audio', isSound], ['array', isRecording]])) {
    if (kind !== spec.kind && is(value)) {
      throw new InputError(`the package takes ${TAKES[spec.kind]}, ${what} is ${TAKES[kind]}`,
        'give adapt and predict what it was trained on')
    }
  }
  if (spec.kind === 'image' && isPicture(value)) {
    return { rows: [scaleIntegers(pictureLevels(value, spec, what), spec)], single: true }
  }
  if (spec.kind === 'audio') return sound(value, spec, what)
  if (isRecording(value)) {
    const { readings, times, hop } = value
    const rows = recordingExamples(asRows(readings, spec, what), spec, what, { times, hop })
    return { rows, single: rows.length === 1 }
  }
  return array(value, spec, what)
}

/** @param {any} value @param {InputSpec} spec @param {string} what */
function sound(value, spec, what) {
  if (typeof value?.getChannelData === 'function') {
    const samples = Array.from({ length: value.numberOfChannels }, (_, i) => value.getChannelData(i))
    const buffer = { samples, rate: value.sampleRate }
    return { rows: [prepareSound(buffer, spec, what)], single: true }
  }
  if (isSound(value)) return { rows: [prepareSound(value, spec, what)], single: true }
  const { data, shape } = asArray(value, what)
  if (shape.length > 2 || !data.length) {
    throw new InputError(`${what} has shape ${shown(shape)}, wanted [n] or [B, n]`)
  }
  const rate = spec.rate ?? 0
  const length = shape[shape.length - 1]
  const rows = Array.from({ length: data.length / length }, (_, i) => {
    const samples = data.subarray(i * length, (i + 1) * length)
    return prepareSound({ samples, rate }, spec, what, false)
  })
  return { rows, single: shape.length === 1 }
}

/** Readings [n, C] of a flat typed array. @param {any} value @param {InputSpec} spec @param {string} what */
function asRows(value, spec, what) {
  const { data, shape } = asArray(value, what)
  const channels = spec.shape[1]
  const flat = isTyped(value) && data.length % channels === 0
  return flat ? { data, shape: [data.length / channels, channels] } : { data, shape }
}

/** @param {any} value @param {InputSpec} spec @param {string} what */
function array(value, spec, what) {
  const { data, shape } = asArray(value, what)
  const size = spec.shape.reduce((a, b) => a * b, 1)
  const own = spec.shape.join()
  // the axis of a single channel may be missing
  const bare = spec.colour === 'grey'
    ? (spec.layout === 'HWC' ? spec.shape.slice(0, -1) : spec.shape.slice(1)).join() : own
  /** @param {number[]} sizes */
  const is = (sizes) => sizes.join() === own || sizes.join() === bare
  const flat = isTyped(value) && spec.shape.length > 1 // of which the shape is known by its length
  if (spec.whole) {
    const rows = asRows(value, spec, what)
    const [count, channels] = rows.shape
    const batch = flat && data.length % size === 0 && data.length > size
    if (rows.shape.length === 2 && channels === spec.shape[1] && count && !batch && count !== spec.shape[0]) {
      return { rows: recordingExamples(rows, spec, what), single: true }
    }
  }
  const single = is(shape) || (flat && data.length === size) || (isTyped(value) && data.length === size)
  const several = is(shape.slice(1)) || (isTyped(value) && data.length > 0 && data.length % size === 0)
  if (!single && !several) {
    throw new InputError(`${what} has shape ${shown(shape)}, wanted ${shown(spec.shape)} or a batch of`
      + ' them', isSeries(spec) && !spec.whole
      ? `a recording is cut as {readings, times}, or by windows(x, ${spec.shape[0]})`
      : 'pictures of any size are given as ImageData')
  }
  const count = data.length / size
  return {
    rows: Array.from({ length: count }, (_, i) =>
      floats(data.subarray(i * size, (i + 1) * size), spec, single ? what : `${what} ${i}`)),
    single,
  }
}

/** @param {import('./arrays.js').Typed} data @param {InputSpec} spec @param {string} what */
function floats(data, spec, what) {
  if (isBytes(data) || (spec.kind === 'array' && isIntegers(data))) {
    return scaleIntegers(Array.from(/** @type {any} */ (data), Number), spec)
  }
  if (isIntegers(data)) {
    throw new InputError(`${what} is ${data.constructor.name}, wanted uint8 or floats`,
      'pixels from 0 to 255 are given as a Uint8Array')
  }
  const found = Float32Array.from(/** @type {Float32Array} */ (data))
  let [low, high] = [Infinity, -Infinity]
  for (const value of found) {
    if (!Number.isFinite(value)) {
      throw new InputError(`${what} has values that are not finite`, 'look for NaN in the source')
    }
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  if (spec.range) {
    const [least, most] = spec.range
    const slack = SLACK * (most - least)
    if (low < least - slack || high > most + slack) {
      throw new InputError(`${what} has values from ${low} to ${high}, wanted ${least} to ${most}`,
        'uint8 pixels are brought into range by the package; floats are taken as they are')
    }
  }
  return found
}

/** Which of the examples have nothing in them. @param {Batch} batch @param {InputSpec} spec */
export function empty({ x, count }, spec) {
  const is = { image: isBlank, audio: isSilent, array: isStill }[spec.kind]
  const size = x.length / count
  return Array.from({ length: count }, (_, i) => is(x.subarray(i * size, (i + 1) * size), spec))
}

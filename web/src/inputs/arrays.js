// An application's own values as arrays: typed arrays, lists of numbers, and {data, shape}.
import { InputError, shown } from '../errors.js'

/**
 * @typedef {Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array
 *   | Uint32Array | BigInt64Array | BigUint64Array | Float32Array | Float64Array} Typed
 * @typedef {{data: Typed, shape: number[]}} Shaped
 */

export const MAX_EXAMPLES = 1_000_000
const ARRAY = 'give a typed array, lists of numbers, or {data: a typed array, shape: its sizes}'

/** @param {any} value @returns {value is Typed} */
export const isTyped = (value) => ArrayBuffer.isView(value) && !(value instanceof DataView)

/** Whether an array holds integers, which a package scales. @param {Typed} data */
export const isIntegers = (data) => !(data instanceof Float32Array || data instanceof Float64Array)

/** @param {Typed} data */
export const isBytes = (data) => data instanceof Uint8Array || data instanceof Uint8ClampedArray

/** How many lists of numbers lie within each other; 0 where it is none. @param {any} value @returns {number} */
export function depth(value) {
  if (!Array.isArray(value) || !value.length) return 0
  if (typeof value[0] === 'number') return 1
  const inner = depth(value[0])
  return inner && inner + 1
}

/**
 * A value as an array; lists of numbers are floats. InputError where it is none.
 * @param {any} value
 * @param {string} what names it in errors
 * @returns {Shaped}
 */
export function asArray(value, what) {
  if (isTyped(value)) return { data: value, shape: [value.length] }
  if (isTyped(value?.data) && Array.isArray(value.shape)) {
    const size = value.shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1)
    const whole = value.shape.every((/** @type {any} */ n) => Number.isInteger(n) && n >= 0)
    if (!whole || size !== value.data.length) {
      throw new InputError(`${what} has ${value.data.length} values, its shape is ${shown(value.shape)}`)
    }
    return { data: value.data, shape: value.shape }
  }
  const axes = depth(value)
  if (!axes) throw new InputError(`${what} is ${shown(value)}, which is no array`, ARRAY)
  /** @type {number[]} */
  const shape = []
  let level = value
  for (let i = 0; i < axes; i++) {
    shape.push(level.length)
    level = level[0]
  }
  /** @type {number[]} */
  const data = []
  /** @param {any} list @param {number} axis */
  const walk = (list, axis) => {
    const numbers = axis === axes
    if (numbers ? typeof list !== 'number' : !Array.isArray(list) || list.length !== shape[axis]) {
      throw new InputError(`${what} is no array: its lists are not of one length`, ARRAY)
    }
    if (numbers) data.push(list)
    else for (const entry of list) walk(entry, axis + 1)
  }
  walk(value, 0)
  return { data: Float64Array.from(data), shape }
}

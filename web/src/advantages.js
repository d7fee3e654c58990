// How good each action of some rollouts was, by their rewards.
import { InputError, shown } from './errors.js'
import { asArray } from './inputs/arrays.js'

const DISCOUNT = 0.99

/**
 * How much better than usual each action was: float32 [K, H] of the rewards [K, H].
 *
 * The discounted sum of the rewards from an action on, less its mean at that time over the K rollouts,
 * divided by the deviation of these differences over all, or by `unit` where that is larger.
 * @param {any} rewards of two rollouts or more, of one policy at one task
 * @param {{discount?: number, unit?: number}} [how]
 * @returns {{data: Float32Array, shape: number[]}}
 */
export function advantages(rewards, { discount = DISCOUNT, unit = 1 } = {}) {
  const { data, shape } = finite(rewards, 'rewards')
  const [count, readings] = shape
  if (shape.length !== 2 || count < 2 || !readings) {
    throw new InputError(`rewards have the shape [${shape}], wanted [K, H] with 2 rollouts or more`,
      'an action is good or bad beside what the same policy did at another time')
  }
  if (!(discount >= 0 && discount <= 1)) throw new InputError(`discount is ${shown(discount)}, wanted 0 to 1`)
  if (!(unit > 0)) throw new InputError(`unit is ${shown(unit)}, wanted more than 0`)
  const ahead = new Float64Array(data.length)
  const total = new Float64Array(count)
  let squares = 0
  for (let t = readings - 1; t >= 0; t--) {
    let mean = 0
    for (let k = 0; k < count; k++) {
      total[k] = Number(data[k * readings + t]) + discount * total[k]
      mean += total[k] / count
    }
    for (let k = 0; k < count; k++) {
      ahead[k * readings + t] = total[k] - mean
      squares += (total[k] - mean) ** 2
    }
  }
  const scale = Math.max(Math.sqrt(squares / ahead.length), unit)
  return { data: Float32Array.from(ahead, (value) => value / scale), shape }
}

/** Numbers that are all finite, and stay so as float32. @param {any} value @param {string} what */
export function finite(value, what) {
  const { data, shape } = asArray(value, what)
  const floats = Float32Array.from(/** @type {any} */ (data), Number)
  if (!floats.every(Number.isFinite)) throw new InputError(`${what} are not all finite numbers`)
  return { data, floats, shape }
}

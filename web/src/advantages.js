// How good each action of some rollouts was, by their rewards.
import { InputError, shown } from './errors.js'
import { asArray } from './inputs/arrays.js'

const DISCOUNT = 0.99
const RIDGE = 1e-3 // of a regressor's mean square
const STILL = 1e-6 // the least deviation that a number of the observations is divided by

/**
 * How much better than usual each action was: float32 [K, H] of the rewards [K, H].
 *
 * The discounted sum of the rewards from an action on, less what is usual, divided by the deviation of these
 * differences over all, or by `unit` where that is larger. Usual is the mean at that time over the K rollouts
 * and, with `observations` [K, H, O], what place and time let expect beside it.
 * @param {any} rewards of two rollouts or more, of one policy at one task
 * @param {{discount?: number, unit?: number, observations?: any}} [how]
 * @returns {{data: Float32Array, shape: number[]}}
 */
export function advantages(rewards, { discount = DISCOUNT, unit = 1, observations } = {}) {
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
  for (let t = readings - 1; t >= 0; t--) {
    let mean = 0
    for (let k = 0; k < count; k++) {
      total[k] = Number(data[k * readings + t]) + discount * total[k]
      mean += total[k] / count
    }
    for (let k = 0; k < count; k++) ahead[k * readings + t] = total[k] - mean
  }
  if (observations !== undefined) takeExpected(observations, ahead, shape)
  const mean = ahead.reduce((sum, value) => sum + value, 0) / ahead.length
  const squares = ahead.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const scale = Math.max(Math.sqrt(squares / ahead.length), unit)
  return { data: Float32Array.from(ahead, (value) => value / scale), shape }
}

/**
 * Takes from `ahead` [K, H] what place and time let expect of it, by ridge regression on observations z, each
 * number less its mean and by its deviation, the products of any two, and both times the share of the
 * rollout that is left, each less its mean over the rollouts.
 * @param {any} observations @param {Float64Array} ahead @param {number[]} sizes
 */
function takeExpected(observations, ahead, [count, readings]) {
  const { floats, shape } = finite(observations, 'observations')
  if (shape.length !== 3 || shape[0] !== count || shape[1] !== readings) {
    throw new InputError(`observations have the shape [${shape}], wanted [${count}, ${readings}] and then the`
      + ' numbers of one')
  }
  const width = shape[2]
  const z = Float64Array.from(floats)
  for (let i = 0; i < width; i++) {
    let [mean, square] = [0, 0]
    for (let at = i; at < z.length; at += width) mean += z[at] / ahead.length
    for (let at = i; at < z.length; at += width) square += (z[at] - mean) ** 2 / ahead.length
    const scale = Math.max(Math.sqrt(square), STILL)
    for (let at = i; at < z.length; at += width) z[at] = (z[at] - mean) / scale
  }
  const rows = Array.from(ahead, (_, at) => {
    const one = z.subarray(at * width, (at + 1) * width)
    const parts = [...one]
    one.forEach((a, i) => one.subarray(i).forEach((b) => parts.push(a * b)))
    const left = readings > 1 ? 1 - (at % readings) / (readings - 1) : 1
    return [...parts, ...parts.map((part) => part * left)]
  })
  for (let t = 0; t < readings; t++) {
    const together = Array.from({ length: count }, (_, k) => rows[k * readings + t])
    together[0].map((_, i) => together.reduce((sum, row) => sum + row[i], 0) / count)
      .forEach((mean, i) => together.forEach((row) => { row[i] -= mean }))
  }
  const gram = rows[0].map((_, i) => {
    const line = rows[0].map(() => 0)
    let answer = 0
    rows.forEach((row, at) => {
      row.forEach((value, j) => { line[j] += row[i] * value })
      answer += row[i] * ahead[at]
    })
    line[i] += RIDGE * ahead.length
    return [...line, answer]
  })
  const weights = solved(gram)
  rows.forEach((row, at) => row.forEach((value, i) => { ahead[at] -= value * weights[i] }))
}

/** w of G w = b, of a positive definite G with b as its last column. @param {number[][]} lines */
function solved(lines) {
  lines.forEach((pivot, i) => lines.forEach((line, j) => {
    if (i === j) return
    const factor = line[i] / pivot[i]
    for (let k = i; k < line.length; k++) line[k] -= factor * pivot[k]
  }))
  return lines.map((line, i) => line[lines.length] / line[i])
}

/** Numbers that are all finite, and stay so as float32. @param {any} value @param {string} what */
export function finite(value, what) {
  const { data, shape } = asArray(value, what)
  const floats = Float32Array.from(/** @type {any} */ (data), Number)
  if (!floats.every(Number.isFinite)) throw new InputError(`${what} are not all finite numbers`)
  return { data, floats, shape }
}

// Arithmetic on lists of numbers that several parts need: means, spreads, random draws.

/** @param {ArrayLike<number>} list */
export const mean = (list) => Array.from(list).reduce((a, b) => a + b, 0) / list.length

/** Over one less than there are, where `less` is 1. @param {ArrayLike<number>} list @param {0 | 1} less */
export function variance(list, less) {
  const middle = mean(list)
  return Array.from(list).reduce((sum, value) => sum + (value - middle) ** 2, 0) / (list.length - less)
}

/** @param {number[]} list */
export function median(list) {
  const sorted = [...list].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/** The first of the largest. @param {ArrayLike<number>} list */
export function argmax(list) {
  let best = 0
  for (let i = 1; i < list.length; i++) if (list[i] > list[best]) best = i
  return best
}

/** @param {Float32Array[]} parts */
export function concatenated(parts) {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/**
 * Standard normal draws that follow from a seed: Box and Muller (1958) on splitmix64's integers.
 * @param {bigint} seed
 * @returns {() => number}
 */
export function normal(seed) {
  let state = seed
  const uniform = () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
    let z = state
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
    return (Number((z ^ (z >> 31n)) >> 11n) + 0.5) / 2 ** 53
  }
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
}

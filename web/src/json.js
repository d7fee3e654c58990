// JSON as docs/package-format.md wants it: fields once, finite numbers, integers written as such.
import { ManifestError, shown } from './errors.js'

const SPACE = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const HALF = /[\ud800-\udfff]/u // of a character: only a lone surrogate is one by itself
const MOST = 2 ** 53
const DEEPEST = 64 // objects and lists within each other
export const HINT = 'export the package again, or install the handful that made it'

/** @typedef {(holder: object | null, key: string | number) => boolean} Whole */

/**
 * The value in a text of JSON, and whether a number in it was written as an integer.
 * @param {Uint8Array} bytes
 * @param {string} name of the file, in errors
 * @param {{Kind?: typeof ManifestError | any, large?: boolean}} [how] large: integers beyond 2⁵³
 *   are taken, as bigint
 * @returns {{value: any, whole: Whole}}
 */
export function readJson(bytes, name, { Kind = ManifestError, large = false } = {}) {
  let text = ''
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Kind(`${name} is not UTF-8`, HINT)
  }
  /** @type {Map<object | null, Set<string | number>>} */
  const fractions = new Map()
  let at = 0

  /** @param {string} [why] @returns {never} */
  const refuse = (why) => {
    throw new Kind(why ?? `${name} is not JSON at character ${at}`, HINT)
  }
  /** @param {RegExp} pattern */
  const eat = (pattern) => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (!match) refuse()
    at = pattern.lastIndex
    return /** @type {RegExpExecArray} */ (match)
  }
  /** @param {string} letters @param {any} [value] */
  const word = (letters, value) => {
    if (!text.startsWith(letters, at)) refuse()
    at += letters.length
    return value
  }
  const string = () => {
    const found = JSON.parse(eat(STRING)[0])
    if (HALF.test(found)) refuse(`${name} has half a character: ${shown(found)}, wanted whole ones`)
    return found
  }
  /** @param {object | null} holder @param {string | number} key */
  const number = (holder, key) => {
    const match = eat(NUMBER)
    const value = Number(match[0])
    if (!Number.isFinite(value)) refuse(`${match[0].slice(0, 60)} in ${name}, wanted a finite number`)
    if (match[1] || match[2]) {
      fractions.set(holder, (fractions.get(holder) ?? new Set()).add(key))
    } else if (Math.abs(value) >= MOST && match[0].length < 22) {
      const exact = BigInt(match[0])
      if (large) return exact
      if (exact > MOST || exact < -MOST) {
        refuse(`${match[0]} in ${name}, integers are at most ${MOST}`)
      }
    } else if (Math.abs(value) > MOST) refuse(`${name}: integers are at most ${MOST}`)
    return value
  }
  /** @param {object | null} holder @param {string | number} key @param {number} depth @returns {any} */
  const value = (holder, key, depth) => {
    eat(SPACE)
    const first = text[at]
    if (first === '{' || first === '[') {
      if (depth >= DEEPEST) refuse(`${name} is nested more than ${DEEPEST} levels deep`)
      const end = first === '[' ? ']' : '}'
      /** @type {any} */
      const found = first === '[' ? [] : Object.create(null)
      at++
      for (let empty = true; ; empty = false) {
        eat(SPACE)
        if (empty && text[at] === end) break
        let inner = found.length
        if (first === '{') {
          inner = string()
          if (Object.hasOwn(found, inner)) refuse(`field given twice in ${name}: \`${inner}\``)
          eat(SPACE)
          word(':')
        }
        found[inner] = value(found, inner, depth + 1)
        eat(SPACE)
        if (text[at] === end) break
        word(',')
      }
      at++
      return found
    }
    if (first === '"') return string()
    if (first === 't') return word('true', true)
    if (first === 'f') return word('false', false)
    if (first === 'n') return word('null', null)
    return number(holder, key)
  }
  const root = value(null, '', 0)
  eat(SPACE)
  if (at !== text.length) refuse()
  return { value: root, whole: (holder, key) => !fractions.get(holder)?.has(key) }
}

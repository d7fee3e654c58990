// The support set: labelled examples to what the stages read, checked against the limits.
import { SupportSetError, shown } from './errors.js'
import { empty, toBatch } from './inputs/examples.js'
import { asArray } from './inputs/arrays.js'
import { isLabel, product, targetsOf } from './manifest.js'
import { concatenated } from './numbers.js'

/**
 * @typedef {import('./manifest.js').Manifest} Manifest
 * @typedef {import('./engine.js').Engine} Engine
 * @typedef {import('./unlike.js').Watch} Watch
 * @typedef {Iterable<[string, any]>} Pairs labels with their examples: a Map, or a list of pairs
 * @typedef {{x: Float32Array, y: Float32Array, count: number, labels: string[], classes: string[],
 *   named: number}} Support embedded examples [S, …] with their classes one-hot [S, N], in order of first
 *   appearance, of which the first `named` are the package's own and may have no examples; of a regression
 *   with targets [S, O], without labels and classes
 * @typedef {{fresh?: Iterable<string>, known?: readonly string[]}} Beyond classes beyond those that the
 *   package names: new ones, and those that a task has already
 */

export const MAX_SUPPORT = 100_000
const MAX_WAY = 10_000
const LEARNT = 'what is learnt from that means nothing'

/**
 * A label as one line of text in Unicode's composed form.
 * @param {unknown} label
 * @param {new (message: string, hint?: string) => Error} [Kind]
 * @returns {string}
 */
export function labelOf(label, Kind = SupportSetError) {
  if (typeof label !== 'string') {
    throw new Kind(`a label is ${shown(label)}, wanted a string`, 'labels are strings, as "7"')
  }
  const text = label.normalize('NFC')
  if (!isLabel(text)) {
    throw new Kind(`a label is ${shown(text)}, wanted one line of text that can be shown`)
  }
  return text
}

/**
 * Labelled examples, checked, prepared and embedded.
 * @param {Engine} engine @param {Watch} watch
 * @param {any} examples pairs, a Map, or examples in order
 * @param {any} [labels] of examples in order; of a regression the targets
 * @param {Beyond} [beyond]
 * @returns {Promise<Support>}
 */
export async function gather(engine, watch, examples, labels, beyond = {}) {
  const { manifest } = engine
  if (manifest.task === 'regression') return regression(engine, watch, examples, labels)
  /** @type {string[]} */
  const names = []
  const parts = []
  if (labels === undefined) {
    for (const [label, few] of pairsOf(examples)) {
      const name = labelOf(label)
      const batch = toBatch(few, manifest.input, `example of ${shown(name)}`)
      if (!batch.count) {
        throw new SupportSetError(`no examples of ${shown(name)}`, 'give one at least, or leave it out')
      }
      parts.push(batch.x)
      for (let i = 0; i < batch.count; i++) names.push(name)
    }
  } else {
    const batch = toBatch(examples, manifest.input, 'example')
    if (!Array.isArray(labels)) throw new SupportSetError(`labels is ${shown(labels)}, wanted a list`)
    asMany(batch.count, labels.length, 'labels')
    parts.push(batch.x)
    names.push(...labels.map((label) => labelOf(label)))
  }
  named(manifest, names, beyond)
  const batch = { x: concatenated(parts), count: names.length, single: false }
  const found = batch.count ? empty(batch, manifest.input) : []
  watch.look(batch, found, 'the examples are', (at) => numbered(names, at), LEARNT)
  return classified(await embedded(engine, batch), names, manifest.classes ?? [])
}

/** Refuses a label that is neither one of the package's classes nor said to be a new one. @param {Manifest} manifest @param {string[]} names @param {Beyond} beyond */
function named({ name, classes, limits }, names, { fresh = [], known = [] }) {
  const beyond = [...fresh].map((label) => labelOf(label))
  if (!classes) {
    if (beyond.length) {
      throw new SupportSetError(`fresh is given, but package ${name} names no classes`,
        'any label may be given to it: leave fresh out')
    }
    return
  }
  const more = limits.way.max === null || limits.way.max > classes.length
  const its = `its classes: ${classes.slice(0, 20).join(', ')}`
  if (beyond.length && !more) {
    throw new SupportSetError(`package ${name} takes no classes beyond those that it names`, its)
  }
  const other = names.find((label) => ![...classes, ...beyond, ...known].includes(label))
  if (other !== undefined) {
    throw new SupportSetError(`package ${name} has no class ${shown(other)}`,
      its + (more ? `; for a class beyond them say so: {fresh: [${JSON.stringify(other)}]}` : ''))
  }
}

/** @param {any} examples @returns {Pairs} */
function pairsOf(examples) {
  if (examples instanceof Map) return examples
  const pair = (/** @type {any} */ entry) =>
    Array.isArray(entry) && entry.length === 2 && typeof entry[0] === 'string'
  if (Array.isArray(examples) && examples.every(pair)) return examples
  throw new SupportSetError(`no labels beside ${shown(examples)}`,
    'give a Map or pairs of a label and its examples (an object sorts keys like "7"), or labels too')
}

/** What an example is called: `example 2 of cup`. @param {string[]} names @param {number} at */
const numbered = (names, at) =>
  `example ${names.slice(0, at + 1).filter((name) => name === names[at]).length} of ${names[at]}`

/** One by one, so that an example's embedding has the same bits in any support set. @param {Engine} engine @param {{x: Float32Array, count: number}} batch */
function embedded(engine, { x, count }) {
  const { support } = engine.manifest.limits
  if (support.max !== null && count > support.max) between(count, support, 'example', ' in all')
  return engine.embed(x, count, 1)
}

/** A support set of embedded examples and one label for each; `own` classes come first. @param {Float32Array} x @param {string[]} labels @param {readonly string[]} [own] @returns {Support} */
export function classified(x, labels, own = []) {
  const classes = [...new Set([...own, ...labels])]
  if (labels.length > MAX_SUPPORT || classes.length > MAX_WAY) {
    throw new SupportSetError(`${labels.length} examples of ${classes.length} classes, at most`
      + ` ${MAX_SUPPORT} of ${MAX_WAY} are taken`)
  }
  const index = new Map(classes.map((label, i) => [label, i]))
  const y = oneHot(labels.map((label) => index.get(label) ?? 0), classes.length)
  return { x, y, count: labels.length, labels, classes, named: own.length }
}

/** @param {number[]} indices @param {number} way */
export function oneHot(indices, way) {
  const y = new Float32Array(indices.length * way)
  indices.forEach((index, i) => {
    y[i * way + index] = 1
  })
  return y
}

/** @param {Engine} engine @param {Watch} watch @param {any} examples @param {any} targets @returns {Promise<Support>} */
async function regression(engine, watch, examples, targets) {
  if (targets === undefined || examples instanceof Map) {
    throw new SupportSetError('no targets', 'a regression task takes examples and their targets')
  }
  const batch = toBatch(examples, engine.manifest.input, 'example')
  const { data, shape } = asArray(targets, 'targets')
  const width = targetsOf(engine.manifest)
  const y = Float32Array.from(/** @type {Float32Array} */ (data), Number)
  if (shape.length > 2 || (shape[1] ?? 1) !== width || !y.every(Number.isFinite)) {
    throw new SupportSetError(`targets have shape [${shape}], wanted finite numbers [S, ${width}]`)
  }
  asMany(batch.count, shape[0], 'targets')
  const found = Array(batch.count).fill(false)
  watch.look(batch, found, 'the examples are', String, LEARNT)
  return { x: await embedded(engine, batch), y, count: batch.count, labels: [], classes: [], named: 0 }
}

/** @param {number} examples @param {number} labels @param {string} word */
function asMany(examples, labels, word) {
  if (examples !== labels) {
    throw new SupportSetError(`${examples} examples and ${labels} ${word}`, `as many ${word} as examples`)
  }
}

/** The examples of both, in order. @param {Support} first @param {Support} second @returns {Support} */
export function joined(first, second) {
  const x = concatenated([first.x, second.x])
  if (first.classes.length) {
    return classified(x, [...first.labels, ...second.labels], first.classes.slice(0, first.named))
  }
  const y = concatenated([first.y, second.y])
  return { x, y, count: first.count + second.count, labels: [], classes: [], named: 0 }
}

/** The examples at some places. @param {Support} support @param {number[]} keep @param {Manifest} manifest @param {number[]} inner */
export function chosen({ x, labels, classes, named }, keep, manifest, inner) {
  const size = product(inner)
  const rows = concatenated(keep.map((i) => x.subarray(i * size, (i + 1) * size)))
  return classified(rows, keep.map((i) => labels[i]), classes.slice(0, named))
}

/** How many examples each class has, in their order. @param {Support} support */
export const shotsOf = ({ labels, classes }) =>
  classes.map((label) => labels.filter((other) => other === label).length)

/** Refuses a support set outside the package's limits. @param {Support} support @param {Manifest['limits']} limits */
export function within(support, limits) {
  const { count, classes } = support
  if (!count && limits.support.min) {
    throw new SupportSetError('no examples', 'give at least one example of each class')
  }
  if (!classes.length) {
    between(count, limits.shot, 'example')
    between(count, limits.support, 'example')
    return
  }
  between(classes.length, limits.way, 'class')
  between(count, limits.support, 'example', ' in all')
  shotsOf(support).forEach((shot, i) =>
    between(shot, limits.shot, 'example', ` of ${shown(classes[i])}`))
}

/**
 * @param {number} count @param {import('./manifest.js').Bounds} bounds @param {'class' | 'example'} word
 * @param {string} [of]
 */
function between(count, { min, max }, word, of = '') {
  if (count >= min && (max === null || count <= max)) return
  const many = word === 'class' ? 'classes' : 'examples'
  const wanted = max === null ? `${min} or more` : `${min} to ${max}`
  throw new SupportSetError(`${count} ${count === 1 ? word : many}${of}, this package takes ${wanted}`,
    count < min ? `add ${many}` : `leave some ${many} out`)
}

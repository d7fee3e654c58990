// manifest.json: the schema of its format, and what docs/package-format.md adds to it.
import { ManifestError, shown } from './errors.js'
import { HINT, readJson } from './json.js'
import { check } from './schema.js'
import { schema } from './tables.js'

/**
 * @typedef {{name: string, dtype: 'float32' | 'int64', shape: (number | string)[]}} TensorSpec
 * @typedef {{file: string, sha256: string, bytes: number, inputs: TensorSpec[],
 *   outputs: TensorSpec[]}} GraphSpec
 * @typedef {{name: string, init: string, step: string | null, steps: number, state: string[],
 *   noise: string[]}} StageSpec
 * @typedef {{min: number, max: number | null}} Bounds
 * @typedef {{name: string, kind: 'value' | 'place' | 'state', text: string}} Channel
 * @typedef {{kind: 'image' | 'array' | 'audio', shape: number[], dtype: 'float32',
 *   layout: 'HWC' | 'CHW' | null, range: [number, number] | null, colour: 'grey' | 'rgb' | null,
 *   scale: number, offset: number, invert: boolean, resize: number | null,
 *   fit: 'square' | 'whole', interpolation: 'lanczos' | 'bilinear' | 'bicubic' | 'box' | null,
 *   rate: number | null, whole: 'time' | 'path' | null, channels: Channel[] | null,
 *   seen: {mean: [number, number], deviation: [number, number]} | null}} InputSpec
 * @typedef {{way: number, shot: number, classes: number, queries: number, others: number,
 *   temperature: number, calibration_error: number,
 *   thresholds: {false_accepts: number, score: number, known_kept: number}[],
 *   sets: {coverage: number, probability: number, size: number}[]}} ConfidenceEntry
 * @typedef {{format: number, name: string, learner: string,
 *   task: 'classification' | 'regression' | 'policy', classes: string[] | null, input: InputSpec, embed: string | null,
 *   precision: 'float32' | 'int8' | 'float16', graphs: Record<string, GraphSpec>,
 *   stages: StageSpec[], predict: string, limits: {way: Bounds, shot: Bounds, support: Bounds},
 *   evaluation: any[], confidence: ConfidenceEntry[], training: any, licence: string}} Manifest
 */

export const FORMAT = 1
export const FILE = 'manifest.json'
export const MAX_BYTES = 2 ** 20
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i
const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u
const NUMBER = /^\s*[+-]?(?:(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[+-]?\d[\d_]*)?|inf(?:inity)?|nan)\s*$/i
const MAX_NUMBER = 1e30 // of an input's range, scale and offset: far inside float32
/** What is measured of each kind of task. @type {Record<string, string>} */
const MEASURES = { classification: 'accuracy', regression: 'mean_squared_error', policy: 'mean_return' }
const MAX_VALUES = 2 ** 26 // the product of a tensor's fixed sizes
const MAX_PACKAGE = 2 ** 30 // bytes of all graphs
const MAX_STEPS = 10_000
const MAX_VECTORS = 20_000 // states and losses on the way
const MAX_NOISE = 2 ** 24 // values of all noise, where S and N count as AS_MANY each
const AS_MANY = 64
// what a terminal obeys instead of showing
const OBEYED = new RegExp('[\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff\\u2028\\u2029\\u200e\\u200f\\u061c'
  + '\\u202a-\\u202e\\u2066-\\u2069]', 'u')
const ROLES = ['x', 'h', 'support_x', 'support_y', 'query_x', 'loss', 'logits', 'outputs']

/**
 * @param {unknown} ok @param {string} place @param {unknown} found @param {string} wanted
 * @param {string} [hint]
 */
function need(ok, place, found, wanted, hint = HINT) {
  if (!ok) throw new ManifestError(`\`${place}\` is ${shown(found)}, wanted ${wanted}`, hint)
}

/** @param {number} value @param {string} place @param {number} low @param {number} high */
const within = (value, place, low, high) =>
  need(value >= low && value <= high, place, value, `${low} to ${high}`)

/** @param {readonly unknown[]} a @param {readonly unknown[]} b */
export const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i])

/** @param {readonly number[]} sizes */
export const product = (sizes) => sizes.reduce((a, b) => a * b, 1)

/** @param {string} text */
export const isPlainName = (text) =>
  PLAIN.test(text) && !text.endsWith('.') && !DEVICE.test(text)

/** Whether it is one line of text that can be shown. @param {string} text */
export const isLabel = (text) => Boolean(text.trim()) && !OBEYED.test(text)

/** @param {string} text @param {string} place */
const words = (text, place) =>
  need(!UNPRINTABLE.test(text), place, text, 'characters that can be printed')

/**
 * The manifest in the bytes of a manifest.json, every field checked.
 * @param {Uint8Array} bytes
 * @returns {Manifest}
 */
export function readManifest(bytes) {
  if (bytes.length > MAX_BYTES) {
    throw new ManifestError(`${FILE} has ${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  }
  const { value: manifest, whole } = readJson(bytes, FILE)
  const format = manifest?.format
  if (format !== undefined && (format !== FORMAT || !whole(manifest, 'format'))) {
    const found = shown(format)
    throw new ManifestError(`manifest has format ${found}, this runtime reads ${FORMAT}`, HINT)
  }
  check(schema, manifest, 'manifest', whole)
  need(isPlainName(manifest.name), 'name', manifest.name, 'a plain name')
  words(manifest.learner, 'learner')
  words(manifest.licence, 'licence')
  checkInput(manifest.input)
  checkClasses(manifest)
  for (const [name, { min, max }] of Object.entries(manifest.limits)) {
    const least = (manifest.classes || manifest.task === 'policy') && name !== 'way' ? 0 : 1
    const low = least ? min >= 1 : min === 0
    need(low && (max ?? min) >= min, `limits.${name}`, [min, max], `low to high, from ${least}`)
  }
  checkFiles(manifest.graphs)
  need(manifest.embed !== null || manifest.precision === 'float32', 'precision',
    manifest.precision, 'float32: there is no `embed`')
  new Flow(manifest).run()
  checkEvaluation(manifest)
  checkConfidence(manifest)
  return manifest
}

/** @param {Manifest} manifest */
function checkClasses({ classes, task, limits }) {
  if (!classes) return
  need(task === 'classification', 'classes', classes.length, `null: the task is ${task}`)
  within(classes.length, 'classes', 2, 1000)
  need(new Set(classes).size === classes.length, 'classes', classes, 'each once')
  classes.forEach((name, i) => need(isLabel(name) && name.normalize('NFC') === name, `classes[${i}]`, name,
    'a line of text in its composed form'))
  need(limits.way.min === classes.length, 'limits.way.min', limits.way.min, `${classes.length} classes`)
}

/** @param {InputSpec} spec */
function checkInput(spec) {
  const { kind, shape, range } = spec
  need(shape.length < 8 && shape.every((n) => n > 0) && product(shape) <= MAX_VALUES,
    'input.shape', shape, 'up to 7 positive numbers with a product up to 2²⁶')
  if (range) {
    range.forEach((value, i) => within(value, `input.range[${i}]`, -MAX_NUMBER, MAX_NUMBER))
    need(range[0] < range[1], 'input.range', range, 'low before high')
  }
  within(spec.scale, 'input.scale', -MAX_NUMBER, MAX_NUMBER)
  within(spec.offset, 'input.offset', -MAX_NUMBER, MAX_NUMBER)
  need(spec.scale, 'input.scale', spec.scale, 'another number than 0')
  for (const [name, [low, high]] of Object.entries(spec.seen ?? {})) {
    const least = name === 'mean' ? -MAX_NUMBER : 0
    within(low, `input.seen.${name}[0]`, least, MAX_NUMBER)
    within(high, `input.seen.${name}[1]`, low, MAX_NUMBER)
  }
  const image = kind === 'image'
  for (const name of /** @type {const} */ (['layout', 'colour', 'resize', 'interpolation'])) {
    need(image === (spec[name] !== null), `input.${name}`, spec[name],
      image ? 'a value: the input is an image' : `null: the input is ${kind}`)
  }
  need(image || (spec.fit === 'square' && !spec.invert), 'input.fit', spec.fit,
    `square, and no invert: the input is ${kind}`)
  if (image) checkImage(spec)
  if (kind === 'audio') checkSound(spec)
  checkSeries(spec)
}

/** @param {InputSpec} spec */
function checkImage({ shape, layout, colour, resize, rate }) {
  const channels = colour === 'grey' ? 1 : 3
  need(shape.length === 3 && shape[layout === 'HWC' ? 2 : 0] === channels, 'input.shape', shape,
    `${layout} with ${channels} channels`)
  const sides = layout === 'HWC' ? shape.slice(0, 2) : shape.slice(1)
  within(resize ?? 0, 'input.resize', Math.max(...sides), 4096)
  need(rate === null, 'input.rate', rate, 'null: the input is an image')
}

/** @param {InputSpec} spec */
function checkSound({ shape, rate, range, scale, offset }) {
  need(shape.length === 1 && shape[0] <= 2 ** 24, 'input.shape', shape, 'one number of samples')
  need(Number.isInteger(rate), 'input.rate', rate, 'a whole number')
  within(rate ?? 0, 'input.rate', 1000, 192_000)
  need(range && same(range, [-1, 1]), 'input.range', range, '[-1, 1]: the input is audio')
  need(scale === 1 / 128 && offset === -1, 'input.scale', scale, '1 / 128, and the offset -1')
}

/** @param {InputSpec} spec */
function checkSeries({ kind, shape, rate, whole, channels }) {
  const series = kind === 'array' && shape.length === 2
  if (!series) {
    const rest = [whole, channels, kind === 'audio' ? null : rate]
    need(rest.every((value) => value === null), 'input.whole', whole,
      'null, as `channels` and `rate`: the input is no series [T, C]')
    return
  }
  if (rate !== null) {
    within(rate, 'input.rate', 1e-3, 1e6)
    need(whole === null, 'input.rate', rate, 'null beside `whole`')
  }
  need(whole === null || shape[0] >= 2, 'input.whole', whole, 'null: an example is one reading')
  if (channels) {
    need(channels.length === shape[1], 'input.channels', channels.length, `${shape[1]} entries`)
    channels.forEach(({ name, text }, i) => {
      words(text, `input.channels[${i}].text`)
      need(name.trim() === name && name && !UNPRINTABLE.test(name) && !NUMBER.test(name),
        `input.channels[${i}].name`, name, 'characters that can be printed, and no number')
    })
    const keys = channels.map(({ name }) => name.normalize('NFC').toUpperCase().toLowerCase())
    need(new Set(keys).size === keys.length, 'input.channels', keys, 'other names: two are the same')
  }
  need(whole !== 'path' || channels?.some((channel) => channel.kind === 'place'), 'input.whole',
    whole, 'a channel of kind `place` for it')
}

/** @param {Record<string, GraphSpec>} graphs */
function checkFiles(graphs) {
  const files = new Set([FILE, 'conformance.npz', 'readme.md'])
  let bytes = 0
  for (const [name, graph] of Object.entries(graphs)) {
    const place = `graphs.${name}`
    need(isPlainName(graph.file), `${place}.file`, graph.file, 'a plain file name')
    const file = graph.file.toLowerCase()
    need(!files.has(file), `${place}.file`, graph.file, 'a file of its own')
    files.add(file)
    bytes += graph.bytes
    for (const side of /** @type {const} */ (['inputs', 'outputs'])) {
      const names = graph[side].map((tensor) => tensor.name)
      need(new Set(names).size === names.length, `${place}.${side}`, names, 'each name once')
      for (const { name: inner, shape } of graph[side]) {
        const fixed = shape.map((size) => typeof size === 'number' ? size : 1)
        need(shape.length <= 8 && product(fixed) <= MAX_VALUES, `${place}.${side}.${inner}`, shape,
          'up to 8 sizes with a product up to 2²⁶')
      }
    }
  }
  need(bytes <= MAX_PACKAGE, 'graphs', `${bytes} bytes`, `at most ${MAX_PACKAGE} bytes`)
}

/** The flow of tensors from graph to graph: does each get what it reads, of one type and shape? */
class Flow {
  /** @param {Manifest} manifest */
  constructor(manifest) {
    this.manifest = manifest
    /** @type {Map<string, TensorSpec>} */
    this.state = new Map()
    /** @type {Set<string>} */
    this.used = new Set()
    /** @type {Set<string>} */
    this.noise = new Set()
    this.drawn = 0
    /** @type {(number | string)[]} */
    this.inner = manifest.input.shape
  }

  run() {
    const { manifest } = this
    if (manifest.embed !== null) this.embed(manifest.embed)
    const { stages } = manifest
    const names = stages.map((stage) => stage.name)
    need(names.length && new Set(names).size === names.length, 'stages', names, 'names of their own')
    stages.forEach(({ step, steps }, i) =>
      need((step === null) === (steps === 0) && steps >= 0, `stages[${i}].steps`, steps,
        '0 without a step, 1 or more with one'))
    const steps = stages.reduce((sum, stage) => sum + stage.steps, 0)
    within(steps, 'stages', 0, MAX_STEPS)
    within(stages.reduce((sum, { steps: n, state }) => sum + (n + 1) * (state.length + 1), 0),
      'stages', 0, MAX_VECTORS)
    stages.forEach((stage, i) => this.stage(stage, `stages[${i}]`))
    this.predict()
    for (const name of Object.keys(manifest.graphs)) {
      need(this.used.has(name), `graphs.${name}`, 'used by no stage', 'used: leave it out')
    }
  }

  /** @param {string} name @param {string} place */
  graph(name, place) {
    need(Object.hasOwn(this.manifest.graphs, name), place, name, 'the name of a graph')
    this.used.add(name)
    return this.manifest.graphs[name]
  }

  /** @param {string} name */
  embed(name) {
    const { inputs, outputs } = this.graph(name, 'embed')
    exactly(inputs, ['x'], `graphs.${name}.inputs`)
    exactly(outputs, ['h'], `graphs.${name}.outputs`)
    is(inputs[0], ['B', ...this.inner], `graphs.${name}.inputs`)
    this.inner = outputs[0].shape.slice(1)
    need(this.inner.every((size) => typeof size === 'number'), `graphs.${name}.outputs`,
      outputs[0].shape, 'B and then numbers')
    is(outputs[0], ['B', ...this.inner], `graphs.${name}.outputs`)
  }

  /** Of the labels: the classes, or the numbers of a target. */
  get width() {
    if (this.manifest.task === 'classification') return 'N'
    const { outputs } = this.graph(this.manifest.predict, 'predict')
    return outputs[0]?.shape.length ? targetsOf(this.manifest) : 0
  }

  /**
   * @param {TensorSpec[]} inputs @param {string} place @param {Map<string, TensorSpec>} draws
   */
  reads(inputs, place, draws) {
    for (const tensor of inputs) {
      const known = draws.get(tensor.name) ?? this.state.get(tensor.name)
      if (tensor.name === 'support_x') is(tensor, ['S', ...this.inner], place)
      else if (tensor.name === 'support_y') is(tensor, ['S', this.width], place)
      else {
        need(known, place, tensor.name, 'state, noise, `support_x` or `support_y`')
        is(tensor, known?.shape ?? [], place, known?.dtype)
      }
    }
  }

  /** @param {TensorSpec} tensor @param {string} place */
  own(tensor, place) {
    need(!ROLES.includes(tensor.name) && !tensor.name.endsWith('.next'), place, tensor.name,
      'a name that the format uses for nothing else')
    need(tensor.shape.every((size) => typeof size === 'number' || size === 'S' || size === 'N'),
      place, tensor.shape, 'numbers, S and N: nothing else is known while adapting')
  }

  /** @param {StageSpec} stage @param {string} place */
  stage(stage, place) {
    const init = this.graph(stage.init, `${place}.init`)
    const at = `graphs.${stage.init}`
    const draws = this.draws(stage, init, place)
    need(!draws.size || this.manifest.task !== 'policy', `${place}.noise`, stage.noise,
      'none: the task is policy')
    this.reads(init.inputs, `${at}.inputs`, draws)
    exactly(init.outputs, stage.state, `${at}.outputs`)
    for (const tensor of init.outputs) {
      this.own(tensor, `${at}.outputs`)
      this.state.set(tensor.name, tensor)
    }
    if (stage.step === null) return
    const step = this.graph(stage.step, `${place}.step`)
    this.reads(step.inputs, `graphs.${stage.step}.inputs`, new Map())
    exactly(step.outputs, [...stage.state, 'loss'], `graphs.${stage.step}.outputs`)
    for (const tensor of step.outputs) {
      const known = this.state.get(tensor.name)
      if (tensor.name === 'loss') is(tensor, [], `graphs.${stage.step}.outputs`)
      else is(tensor, known?.shape ?? [], `graphs.${stage.step}.outputs`, known?.dtype)
    }
  }

  /** @param {StageSpec} stage @param {GraphSpec} init @param {string} place */
  draws(stage, init, place) {
    const draws = new Map()
    for (const name of stage.noise) {
      const tensor = init.inputs.find((input) => input.name === name)
      const free = !this.state.has(name) && !this.noise.has(name)
      need(tensor?.dtype === 'float32' && free, `${place}.noise`, name, `noise of ${stage.init}`)
      if (!tensor) continue
      this.own(tensor, `graphs.${stage.init}.inputs`)
      this.noise.add(name)
      draws.set(name, tensor)
      this.drawn += product(tensor.shape.map((size) => typeof size === 'number' ? size : AS_MANY))
    }
    within(this.drawn, `${place}.noise`, 0, MAX_NOISE)
    return draws
  }

  predict() {
    const { manifest } = this
    const { inputs, outputs } = this.graph(manifest.predict, 'predict')
    const at = `graphs.${manifest.predict}`
    for (const tensor of inputs) {
      const known = this.state.get(tensor.name)
      if (tensor.name === 'query_x') is(tensor, ['Q', ...this.inner], `${at}.inputs`)
      else {
        need(known, `${at}.inputs`, tensor.name, 'state or `query_x`')
        is(tensor, known?.shape ?? [], `${at}.inputs`, known?.dtype)
      }
    }
    need(inputs.some((tensor) => tensor.name === 'query_x'), `${at}.inputs`, 'without `query_x`',
      'one that reads it')
    const classes = manifest.task === 'classification'
    exactly(outputs, [classes ? 'logits' : 'outputs'], `${at}.outputs`)
    const width = outputs[0].shape[1]
    need(classes || typeof width === 'number', `${at}.outputs`, outputs[0].shape, 'Q and a number')
    need(manifest.task !== 'policy' || Number(width) % 2 === 0, `${at}.outputs`, outputs[0].shape,
      'Q and an even number: of each action a mean and a deviation')
    is(outputs[0], ['Q', classes ? 'N' : width], `${at}.outputs`)
  }
}

/** @param {TensorSpec[]} tensors @param {string[]} wanted @param {string} place */
function exactly(tensors, wanted, place) {
  const names = tensors.map((tensor) => tensor.name)
  need(same(names, wanted), place, names, wanted.join(', '))
}

/**
 * @param {TensorSpec} tensor @param {(number | string)[]} shape @param {string} place
 * @param {string} [dtype]
 */
function is({ name, dtype: found, shape: sizes }, shape, place, dtype = 'float32') {
  need(found === dtype && same(sizes, shape), `${place}.${name}`, `${found} [${sizes}]`,
    `${dtype} [${shape.join(', ')}]`)
}

/** @param {Manifest} manifest */
function checkEvaluation({ evaluation, task, classes }) {
  const wanted = MEASURES[task]
  const most = task === 'classification' ? 1 : MAX_NUMBER
  /** @param {any} entry @param {string} place */
  const measure = (entry, place) => {
    const measured = Object.values(MEASURES).filter((name) => entry[name] !== null)
    need(same(measured, [wanted]), place, measured, `\`${wanted}\` alone`)
    within(entry[wanted], `${place}.${wanted}`, task === 'policy' ? -most : 0, most)
    within(entry.interval, `${place}.interval`, 0, most)
  }
  evaluation.forEach((entry, i) => {
    const place = `evaluation[${i}]`
    words(entry.data, `${place}.data`)
    words(entry.split, `${place}.split`)
    within(entry.shot, `${place}.shot`, classes ? 0 : 1, Infinity)
    for (const [name, most] of [['given', entry.way - 1], ['persons', entry.episodes]]) {
      need(entry[name] === null || (classes && entry[name] >= 1 && entry[name] <= most),
        `${place}.${name}`, entry[name], classes ? `null, or 1 to ${most}` : 'null: no class is named')
    }
    need(task === 'classification' || entry.way === 1, `${place}.way`, entry.way, `1: the task is ${task}`)
    measure(entry, place)
    entry.compared.forEach((/** @type {any} */ compared, /** @type {number} */ j) => {
      words(compared.name, `${place}.compared[${j}].name`)
      measure(compared, `${place}.compared[${j}]`)
      within(compared.difference, `${place}.compared[${j}].difference`, -most, most)
    })
  })
}

/** @param {Manifest} manifest */
function checkConfidence({ confidence, task, limits, classes }) {
  if (!confidence.length) return
  need(task === 'classification', 'confidence', confidence.length, `no entries: the task is ${task}`)
  within(confidence.length, 'confidence', 1, 256)
  const first = confidence[0]
  confidence.forEach((entry, i) => {
    const place = `confidence[${i}]`
    const { way, shot } = limits
    within(entry.way, `${place}.way`, Math.max(2, way.min), way.max ?? Infinity)
    within(entry.shot, `${place}.shot`, shot.min, shot.max ?? Infinity)
    within(entry.classes, `${place}.classes`, classes ? entry.way : entry.way + 1,
      classes ? entry.way : Infinity)
    within(entry.queries, `${place}.queries`, 1, Infinity)
    within(entry.others, `${place}.others`, 0, 1)
    within(entry.temperature, `${place}.temperature`, 1e-9, 1e9)
    within(entry.calibration_error, `${place}.calibration_error`, 0, 1)
    entry.thresholds.forEach(({ score, known_kept: kept }) => {
      within(score, `${place}.thresholds`, -MAX_NUMBER, MAX_NUMBER)
      within(kept, `${place}.thresholds`, 0, 1)
    })
    entry.sets.forEach(({ probability, size }) => {
      within(probability, `${place}.sets`, 0, 1)
      within(size, `${place}.sets`, 0, entry.way)
    })
    need(entry.others === first.others, `${place}.others`, entry.others, `${first.others}`)
    monotonous(entry.thresholds.map((t) => [t.false_accepts, t.score]),
      first.thresholds.map((t) => t.false_accepts), `${place}.thresholds`)
    monotonous(entry.sets.map((s) => [s.coverage, s.probability]),
      first.sets.map((s) => s.coverage), `${place}.sets`)
  })
  /** @param {'way' | 'shot'} name */
  const all = (name) => [...new Set(confidence.map((entry) => entry[name]))].sort((a, b) => a - b)
  const grid = all('way').flatMap((way) => all('shot').map((shot) => `${way}, ${shot}`))
  const found = confidence.map(({ way, shot }) => `${way}, ${shot}`)
  need(same(found, grid), 'confidence', found, 'each way with each shot once, in order')
}

/**
 * Rates between 0 and 1 that rise, as in the first entry, with values that do not.
 * @param {number[][]} pairs @param {number[]} rates @param {string} place
 */
function monotonous(pairs, rates, place) {
  within(pairs.length, place, 1, 32)
  const ok = pairs.every(([rate, value], i) => rate > 0 && rate < 1
    && (!i || (rate > pairs[i - 1][0] && value <= pairs[i - 1][1])))
  need(ok, place, pairs, 'rates between 0 and 1 that rise, and values that do not')
  need(same(pairs.map(([rate]) => rate), rates), place, pairs, 'the rates of the first entry')
}

/** The shape of an embedded example. @param {Manifest} manifest @returns {number[]} */
export const embeddedShape = ({ embed, graphs, input }) =>
  /** @type {number[]} */ (embed === null ? input.shape : graphs[embed].outputs[0].shape.slice(1))

/** How many numbers a target has: of a regression its outputs, of a policy its actions and their advantage. @param {Manifest} manifest */
export function targetsOf({ predict, graphs, task }) {
  const width = /** @type {number} */ (graphs[predict].outputs[0].shape.at(-1))
  return task === 'policy' && typeof width === 'number' ? Math.floor(width / 2) + 1 : width
}

/** What a task keeps: what `predict` reads; of a policy, which goes on, all. @param {Manifest} manifest */
export function kept({ predict, graphs, stages, task }) {
  if (task !== 'policy') return graphs[predict].inputs.filter((tensor) => tensor.name !== 'query_x')
  const made = stages.flatMap((stage) => graphs[stage.init].outputs)
  return [...new Map(made.map((tensor) => [tensor.name, tensor])).values()]
}

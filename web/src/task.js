// A task: a learner adapted to one support set. It never changes: what alters it gives another one.
import { Sizes, softmax } from './confidence.js'
import { AdaptError, SupportSetError, shown } from './errors.js'
import { empty, toBatch } from './inputs/examples.js'
import { targetsOf } from './manifest.js'
import { Negatives } from './negatives.js'
import { argmax, concatenated, mean, normal, variance } from './numbers.js'
import { chosen, gather, joined, labelOf, shotsOf, within } from './support.js'

/**
 * @template Q, T
 * @typedef {import('./inputs/examples.js').Each<Q, T>} Each
 */

/**
 * @typedef {import('./learner.js').Learner} Learner
 * @typedef {import('./inputs/examples.js').Examples} Examples
 * @typedef {import('./inputs/examples.js').Labelled} Labelled
 * @typedef {import('./learner.js').Labels} Labels
 * @typedef {import('./engine.js').State} State
 * @typedef {import('./support.js').Support} Support
 * @typedef {{unknown?: number, coverage?: number}} Ask `unknown`: the share of queries of none of the
 *   classes that is still given a label, as 0.05; `coverage`: how often `labels` hold the right one
 * @typedef {{label: string, probability: number} | {label: null, probability?: undefined}} Said null: it is
 *   none of the classes, as `unknown` asked to tell; no probability stands beside that
 * @typedef {Said & {probabilities: Map<string, number>, labels?: string[]}} Answer `probabilities` of each
 *   class, were it one of them: they add up to 1; `labels` that hold the right one in `coverage` of cases,
 *   likeliest first
 */

const NAMED = 20 // classes in a hint
/** What a task of each kind is asked. */
const ASKED = {
  classification: "predict gives a classification task's labels",
  regression: "predict gives a regression task's outputs",
  policy: "act gives a policy's actions, add lets it go on learning",
}
const ANSWERED = 'an answer to that means nothing'

export class Task {
  /**
   * @param {Learner} learner
   * @param {Support} support
   * @param {State[]} states one, or one a sample
   * @param {bigint | null} [seed] of the samples' noise
   * @param {Negatives | null} [negatives]
   */
  constructor(learner, support, states, seed = null, negatives = null) {
    this.learner = learner
    this.support = support
    this.states = states
    this.seed = seed
    this.negatives = negatives
    this.shots = shotsOf(support)
  }

  /** The labels in order of first appearance. @returns {string[]} */
  get classes() {
    return this.support.classes
  }

  /** How many examples of each class the task was adapted to. @returns {Map<string, number>} */
  get counts() {
    return new Map(this.classes.map((label, i) => [label, this.shots[i]]))
  }

  /**
   * The answer to one query, or a list of answers to several; of a regression its outputs.
   *
   * A query is whatever is an example for `Learner.adapt`, alone or in a list. No answer depends on the
   * other queries.
   * @template {Examples} Q
   * @param {Q} queries
   * @param {Ask} [ask]
   * @returns {Promise<Each<Q, Answer>>} of a regression what `outputs` gives
   */
  async predict(queries, { unknown, coverage } = {}) {
    const { manifest } = this.learner
    if (manifest.task === 'regression') {
      if (unknown !== undefined || coverage !== undefined) this.#classification('unknown or coverage')
      return /** @type {any} */ (this.outputs(queries))
    }
    this.#classification('predict')
    const { h, count, single, found } = await this.#embedded(queries)
    const rows = await this.#logits(h, count)
    const temperature = manifest.confidence.length ? new Sizes(manifest).temperature(this.shots) : 1
    const probabilities = Array.from({ length: count }, (_, i) => {
      const draws = rows.map((of) => softmax(of[i], temperature))
      return this.classes.map((__, n) => mean(draws.map((draw) => draw[n])))
    })
    const best = probabilities.map(argmax)
    const accepted = unknown === undefined ? null : await this.#accepted(h, rows, best, unknown)
    const least = coverage === undefined ? null : new Sizes(manifest).probability(coverage, this.shots)
    const answers = probabilities.map((row, i) => {
      const known = !accepted || (accepted[i] && !found[i])
      /** @type {Said} */
      const said = known ? { label: this.classes[best[i]], probability: row[best[i]] } : { label: null }
      /** @type {Answer} */
      const answer = {
        ...said,
        probabilities: new Map(this.classes.map((label, n) => [label, row[n]])),
      }
      if (least !== null) {
        const order = row.map((_, n) => n).sort((a, b) => row[b] - row[a] || a - b)
        const kept = order.filter((n, at) => !at || row[n] >= least)
        answer.labels = kept.map((n) => this.classes[n])
      }
      return answer
    })
    return /** @type {any} */ (single ? answers[0] : answers)
  }

  /**
   * The outputs of a regression in the units of the targets, Float32Array [O], or a list of them.
   * @template {Examples} Q
   * @param {Q} queries
   * @returns {Promise<Each<Q, Float32Array>>}
   */
  async outputs(queries) {
    if (this.learner.manifest.task !== 'regression') this.#asked('outputs')
    return this.#reduced(queries, mean)
  }

  /**
   * What a policy does at one observation, {mean, deviation} of each action, or a list of that; with noise,
   * standard normal draws of the means' shape, an action Float32Array [A], or a list of them. Learning needs
   * noise: an action that is never tried is never found to be good.
   * @param {Examples} observations
   * @param {any} [noise]
   * @returns {Promise<any>}
   */
  async act(observations, noise) {
    if (this.learner.manifest.task !== 'policy') this.#asked('act')
    const { acts } = await import('./rollout.js')
    const { h, count, single } = await this.#embedded(observations)
    const [rows] = await this.#logits(h, count)
    return acts(rows, single, noise)
  }

  /**
   * What the package gave before the temperature, in the order of `classes`: of one query, or a list.
   * @template {Examples} Q
   * @param {Q} queries
   * @returns {Promise<Each<Q, Float32Array>>}
   */
  async logits(queries) {
    this.#classification('logits')
    const { h, count, single } = await this.#embedded(queries)
    const rows = await this.#logits(h, count)
    const found = this.seed === null ? rows[0] : rows[0].map((_, i) => {
      const draws = rows.map((of) => softmax(of[i]))
      return Float32Array.from(this.classes, (__, n) =>
        Math.log(mean(draws.map((draw) => draw[n])) + 2 ** -126))
    })
    return /** @type {any} */ (single ? found[0] : found)
  }

  /**
   * The standard deviation over samples of the probabilities, in the order of `classes`, or of a
   * regression's outputs.
   * @template {Examples} Q
   * @param {Q} queries
   * @returns {Promise<Each<Q, Float32Array>>}
   */
  async uncertainty(queries) {
    if (this.seed === null) {
      throw new AdaptError('the task has no samples', 'adapt with {samples: 10, seed: 0}')
    }
    return this.#reduced(queries, (list) => Math.sqrt(variance(list, 0)))
  }

  /**
   * A new task: this support set and more, of old classes or new ones; as for `Learner.adapt`. A policy goes
   * on from where it stands, by what this task itself has done since and by that alone.
   * @param {Labelled | import('./rollout.js').Rollout} examples
   * @param {Labels} [labels]
   * @param {{fresh?: Iterable<string>}} [how] classes beyond those that the package names
   * @returns {Promise<Task>}
   */
  async add(examples, labels, { fresh } = {}) {
    const { engine, watch } = this.learner
    if (engine.manifest.task === 'policy') {
      const { readings } = await import('./rollout.js')
      const done = await readings(this.learner, examples, labels)
      within(done, engine.manifest.limits)
      const [begun] = this.states
      return new Task(this.learner, done, [await engine.adapt(done.x, done.y, done.count, { begun })])
    }
    const more = await gather(engine, watch, examples, labels, { fresh, known: this.classes })
    if (!more.count) throw new SupportSetError('no examples', 'give at least one example to add')
    return this.#again(joined(this.support, more))
  }

  /**
   * A new task: this support set without a class; one that the package names stays, without examples.
   * @param {string} label
   * @returns {Promise<Task>}
   */
  async remove(label) {
    this.#classification('remove')
    const name = labelOf(label)
    if (!this.classes.includes(name)) {
      throw new SupportSetError(`no class ${shown(name)} in the task`,
        `its classes: ${this.classes.slice(0, NAMED).join(', ')}`)
    }
    const { engine } = this.learner
    const keep = this.support.labels.flatMap((other, i) => other === name ? [] : [i])
    return this.#again(chosen(this.support, keep, engine.manifest, engine.inner))
  }

  /**
   * A new task that `predict(…, {unknown})` answers for with examples of none of its classes; those
   * given before are kept. A package without thresholds takes 5 or more, of which they are made.
   * @param {Examples} examples
   * @returns {Promise<Task>}
   */
  async withNegatives(examples) {
    this.#classification('withNegatives')
    const { engine } = this.learner
    const { x, count } = toBatch(examples, engine.manifest.input, 'negative')
    const h = await engine.embed(x, count, 1)
    return this.rejecting(this.negatives ? concatenated([this.negatives.x, h]) : h)
  }

  /**
   * The bytes of a saved task: `Learner.loadTask` reads them, and so does Python.
   * @returns {Promise<Uint8Array>}
   */
  async save() {
    return (await import('./task_file.js')).writeTask(this)
  }

  /** This task with embedded examples of none of its classes, and no others. @param {Float32Array} x */
  rejecting(x) {
    const { engine } = this.learner
    const negatives = new Negatives(x, engine, this.support, this.states)
    return new Task(this.learner, this.support, this.states, this.seed, negatives)
  }

  /** @param {string} name */
  #classification(name) {
    if (this.learner.manifest.task !== 'classification') this.#asked(name)
  }

  /** Refuses what is asked of a task of another kind. @param {string} name @returns {never} */
  #asked(name) {
    const { task } = this.learner.manifest
    throw new AdaptError(`${name} on a ${task} task`, ASKED[task])
  }

  /** The same learner, samples and negatives with another support set. @param {Support} support */
  async #again(support) {
    const task = await adapted(this.learner, support, this.states.length, this.seed)
    return this.negatives ? task.rejecting(this.negatives.x) : task
  }

  /** @param {any} queries */
  async #embedded(queries) {
    const { engine, watch } = this.learner
    const spec = engine.manifest.input
    const batch = toBatch(queries, spec, 'query')
    const found = batch.count ? empty(batch, spec) : []
    watch.look(batch, found, batch.count === 1 ? 'the query is' : 'the queries are',
      (at) => batch.single ? 'the query' : `query ${at}`, ANSWERED)
    const h = await engine.embed(batch.x, batch.count)
    return { h, count: batch.count, single: batch.single, found }
  }

  /** Logits, or outputs, of embedded queries: of each state a row for each. @param {Float32Array} h @param {number} count */
  async #logits(h, count) {
    const rows = []
    for (const state of this.states) rows.push(await this.learner.engine.predict(state, h, count))
    return rows
  }

  /** @param {any} queries @param {(list: number[]) => number} reduce @returns {Promise<any>} */
  async #reduced(queries, reduce) {
    const { manifest } = this.learner
    const { h, count, single } = await this.#embedded(queries)
    let rows = await this.#logits(h, count)
    if (manifest.task === 'classification') {
      const temperature = manifest.confidence.length ? new Sizes(manifest).temperature(this.shots) : 1
      rows = rows.map((of) => of.map((row) => Float32Array.from(softmax(row, temperature))))
    }
    const width = manifest.task === 'regression' ? targetsOf(manifest) : this.classes.length
    const found = Array.from({ length: count }, (_, i) =>
      Float32Array.from({ length: width }, (__, n) => reduce(rows.map((of) => of[i][n]))))
    return /** @type {any} */ (single ? found[0] : found)
  }

  /**
   * Whether each query is taken to be of a class of the task.
   * @param {Float32Array} h @param {Float32Array[][]} rows @param {number[]} best @param {number} rate
   */
  async #accepted(h, rows, best, rate) {
    const { negatives, shots } = this
    const { manifest } = this.learner
    const rejected = negatives ? await negatives.rejects(h) : best.map(() => false)
    if (negatives && !manifest.confidence.length) {
      return (await negatives.above(rows, rate)).map((is, i) => is && !rejected[i])
    }
    const sizes = new Sizes(manifest)
    const usual = sizes.thresholds(rate, shots)
    const thresholds = negatives ? await negatives.thresholds(sizes, rate, shots) : usual
    return best.map((n, i) => mean(rows.map((of) => sizes.score(of[i]))) > thresholds[n] && !rejected[i])
  }
}

/**
 * The task of a learner for one support set; with a seed one state for each of so many draws of noise.
 * @param {Learner} learner @param {Support} support @param {number} samples @param {bigint | null} seed
 */
export async function adapted(learner, support, samples, seed) {
  const { engine } = learner
  within(support, engine.manifest.limits)
  const draws = seed === null ? null : normal(seed)
  const states = []
  for (let i = 0; i < samples; i++) {
    states.push(await engine.adapt(support.x, support.y, support.count, { normal: draws }))
  }
  return new Task(learner, support, states, seed)
}

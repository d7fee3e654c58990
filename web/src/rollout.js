// What a policy did: a rollout, from which it learns; and how it acts.
import { advantages, finite } from './advantages.js'
import { AdaptError, InputError, SupportSetError } from './errors.js'
import { asArray } from './inputs/arrays.js'
import { toBatch } from './inputs/examples.js'
import { targetsOf } from './manifest.js'
import { MAX_SUPPORT } from './support.js'

/**
 * @typedef {import('./learner.js').Learner} Learner
 * @typedef {import('./support.js').Support} Support
 * @typedef {any} Numbers a typed array, lists of numbers, or {data, shape}
 * @typedef {{observations: Numbers, actions: Numbers, rewards?: Numbers, advantages?: Numbers}} Rollout K
 *   rollouts of H readings: [K, H, O], [K, H, A] as they were drawn, before a limit of the machine cut them,
 *   and rewards [K, H], of which `advantages` are made; or these themselves, of any leading axes
 */

/** Whether it is what a policy learns from. @param {any} value @returns {value is Rollout} */
export const isRollout = (value) =>
  value?.observations !== undefined && value.actions !== undefined
  && (value.rewards === undefined) !== (value.advantages === undefined)

/** Its advantages, beside what place and time let expect. @param {Rollout} rollout */
const rewarded = ({ rewards, observations }) => advantages(rewards, { observations })

/**
 * The readings of a rollout; its advantage stands behind the actions of each.
 * @param {Learner} learner @param {any} rollout @param {any} [labels] of examples, which it has not
 * @returns {Promise<Support>}
 */
export async function readings({ engine, watch, name }, rollout, labels) {
  if (!isRollout(rollout) || labels !== undefined) {
    throw new SupportSetError(`package ${name} is a policy: it learns from what it did, not from labelled`
      + ' examples', 'learner.adapt({observations, actions, rewards}), or advantages in their place')
  }
  const seen = asArray(rollout.observations, 'observations of a rollout')
  const done = finite(rollout.actions, 'actions of a rollout')
  const gained = finite(rollout.advantages ?? rewarded(rollout), 'advantages of a rollout')
  const lead = gained.shape
  const fits = lead.length && [seen, done].every(({ shape }) =>
    shape.length === lead.length + 1 && lead.every((size, i) => size === shape[i]))
  if (!fits) {
    throw new InputError(`a rollout has shapes [${seen.shape}], [${done.shape}] and [${lead}], wanted [S, O],`
      + ' [S, A] and [S]', 'observations, actions, advantages; leading axes may be [rollouts, readings]')
  }
  const [count, width] = [gained.data.length, done.shape[lead.length]]
  const wanted = targetsOf(engine.manifest) - 1
  if (!count || width !== wanted) {
    throw new SupportSetError(`a rollout of ${count} readings and ${width} actions, wanted 1 reading or more`
      + ` and ${wanted}`)
  }
  if (count > MAX_SUPPORT) throw new SupportSetError(`${count} examples, at most ${MAX_SUPPORT} are taken`)
  const rows = { data: seen.data, shape: [count, seen.shape[lead.length]] }
  const batch = toBatch(rows, engine.manifest.input, 'observation')
  watch.look(batch, Array(count).fill(false), 'the observations are', String, '')
  const y = new Float32Array(count * (width + 1))
  for (let i = 0; i < count; i++) {
    y.set(done.floats.subarray(i * width, (i + 1) * width), i * (width + 1))
    y[i * (width + 1) + width] = gained.floats[i]
  }
  return { x: await engine.embed(batch.x, count, 1), y, count, labels: [], classes: [], named: 0 }
}

/**
 * Means and deviations, or with noise an action, of rows of both.
 * @param {Float32Array[]} rows @param {boolean} single @param {Numbers} [noise]
 * @returns {any}
 */
export function acts(rows, single, noise) {
  const half = rows.length ? rows[0].length / 2 : 0
  const found = rows.map((row) => ({ mean: row.slice(0, half), deviation: row.slice(half) }))
  if (noise === undefined) return single ? found[0] : found
  const { floats, shape } = finite(noise, 'noise')
  const wanted = single ? [half] : [rows.length, half]
  if (shape.join() !== wanted.join()) {
    throw new AdaptError(`noise has the shape [${shape}], wanted [${wanted}]`)
  }
  const drawn = found.map(({ mean, deviation }, i) =>
    mean.map((value, a) => value + deviation[a] * floats[i * half + a]))
  return single ? drawn[0] : drawn
}

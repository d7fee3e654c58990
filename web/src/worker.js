// The worker in which a learner lives, so that no page waits for it: calls come in as messages.
import { decoded } from './dom.js'
import { packed, SessionError } from './errors.js'
import { Learner } from './learner.js'
import { fromBytes, fromUrl, readPackage } from './package.js'
import { Task } from './task.js'
import { bytesOf } from './core.js'

/**
 * @typedef {{id: number, to: number, call: string, given: any[]}} Call of an object here by its number
 * @typedef {{handle: number, about: any}} Handle of an object that stays here
 */

/** @type {Map<number, any>} */
const objects = new Map()
let last = 0

/** @param {any} message */
const say = (message) => postMessage(message)

/** Whether it is a Listener: its module, as that of `verify`, is read when it is first needed. @param {any} found */
const hears = (found) => typeof found?.feed === 'function'

/** A number for what stays here, with what is known of it there; anything else as it is. @param {any} found */
function handed(found) {
  let about = null
  if (found instanceof Learner) about = { manifest: found.manifest, identity: found.identity }
  else if (found instanceof Task) about = { classes: found.classes, counts: found.counts }
  else if (hears(found)) about = {}
  if (!about) return found
  objects.set(++last, found)
  return { handle: last, about }
}

/**
 * onnxruntime-web with one thread, from a folder, or as a bundler knows it.
 * @param {string | undefined} folder
 * @returns {Promise<any>}
 */
async function onnxruntime(folder) {
  let ort
  try {
    ort = folder === undefined ? await import('onnxruntime-web/wasm')
      : await import(/* @vite-ignore */ /* webpackIgnore: true */ `${folder}ort.wasm.bundle.min.mjs`)
  } catch (error) {
    throw new SessionError(`onnxruntime-web cannot be loaded: ${/** @type {Error} */ (error).message}`,
      'give load the address of the folder that has its files, as {runtime: "ort/"}')
  }
  ort.env.wasm.numThreads = 1
  ort.env.logLevel = 'error'
  if (folder !== undefined) ort.env.wasm.wasmPaths = { wasm: `${folder}ort-wasm-simd-threaded.wasm` }
  return ort
}

/** @param {any} source @param {{runtime?: string, options?: object, prepare: boolean}} how */
async function load(source, { runtime, options, prepare }) {
  const progress = (/** @type {number} */ share) => say({ progress: share })
  const read = typeof source === 'string' ? await fromUrl(source) : await fromBytes(await bytesOf(source))
  const [ort, pack] = await Promise.all([onnxruntime(runtime), readPackage(read, progress)])
  const learner = new Learner(pack, ort, { options, warn: (warning) => say({ warning }) })
  // what is wrong shows when it is asked for
  if (prepare) learner.prepare().catch(() => {})
  return learner
}

/** @param {Call} call */
async function act({ to, call, given }) {
  if (call === 'load') return load(given[0], given[1])
  if (call === 'release') return objects.delete(to) && undefined
  const own = objects.get(to)
  if (call === 'verify') return (await import('./verify.js')).verify(own)
  if (call === 'listener') {
    const { Listener } = await import('./listener.js')
    return new Listener(own, given[0], given[1])
  }
  const learner = own instanceof Task ? own.learner : own
  const examples = hears(own) || call === 'loadTask' ? given[0]
    : await decoded(given[0], learner.input)
  return own[call](examples, ...given.slice(1))
}

addEventListener('message', async ({ data }) => {
  try {
    say({ id: data.id, result: handed(await act(data)) })
  } catch (error) {
    say({ id: data.id, error: packed(error) })
  }
})

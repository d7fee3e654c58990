// handful in a browser: a learner in a worker, by onnxruntime-web, with the words of the runtime itself.
import { sendable } from './dom.js'
import { HandfulError, SessionError, unpacked } from './errors.js'

export * from './errors.js'
export { windows, Windows } from './inputs/series.js'
export { readWav } from './inputs/sounds.js'
export { listen, openMicrophone } from './microphone.js'

/**
 * @template Q, T
 * @typedef {import('./inputs/examples.js').Each<Q, T>} Each
 */

/**
 * @typedef {import('./manifest.js').Manifest} Manifest
 * @typedef {import('./dom.js').Example} Example
 * @typedef {import('./dom.js').Examples} Examples
 * @typedef {import('./dom.js').Labelled} Labelled
 * @typedef {import('./learner.js').Labels} Labels
 * @typedef {import('./task.js').Ask} Ask
 * @typedef {import('./task.js').Answer} Answer
 * @typedef {import('./learner.js').Draws} Draws
 * @typedef {import('./listener.js').Heard} Heard
 * @typedef {import('./listener.js').Hearing} Hearing
 * @typedef {import('./verify.js').Report} Report
 * @typedef {import('./unlike.js').Warning} Warning
 * @typedef {object} How
 * @property {string | URL} [runtime] the folder that has ort.wasm.bundle.min.mjs and its .wasm, where no
 *   bundler resolves onnxruntime-web
 * @property {(share: number) => void} [progress] how much of the package has been read, 0 to 1
 * @property {import('./unlike.js').Warn} [warn] where an example is odd; by default to the console
 * @property {boolean} [prepare] whether its sessions are made at once and run once; true
 * @property {object} [options] of onnxruntime's sessions
 */

/** Numbers of objects in the worker that nothing here holds any more are let go there. */
const released = new FinalizationRegistry(
  (/** @type {{worker: Background, handle: number}} */ { worker, handle }) => worker.send(handle, 'release', []))

/** A worker, and the calls that wait for its answers. */
class Background {
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #waiting = new Map()
  #last = 0
  /** @type {Error | null} */
  #ended = null

  /** @param {How} how */
  constructor({ progress, warn = ({ message }) => console.warn(message) }) {
    this.worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
    this.worker.onmessage = ({ data }) => {
      if (data.progress !== undefined) return progress?.(data.progress)
      if (data.warning) return warn(data.warning)
      const call = this.#waiting.get(data.id)
      this.#waiting.delete(data.id)
      if (data.error) call?.reject(unpacked(data.error))
      else call?.resolve(data.result)
    }
    this.worker.onerror = (event) =>
      this.end(new SessionError(`the worker failed: ${event.message ?? 'its script cannot be loaded'}`))
  }

  /** @param {number} to @param {string} call @param {any[]} given @param {Transferable[]} [transfer] @returns {Promise<any>} */
  send(to, call, given, transfer = []) {
    if (this.#ended) return call === 'release' ? Promise.resolve() : Promise.reject(this.#ended)
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.worker.postMessage({ id, to, call, given }, transfer)
    })
  }

  /** @param {Error} why */
  end(why) {
    this.#ended ??= why
    this.worker.terminate()
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
  }
}

/** Something in a worker, by its number there. */
class Remote {
  /** @param {Background} worker @param {number} handle */
  constructor(worker, handle) {
    this.worker = worker
    this.handle = handle
    released.register(this, { worker, handle })
  }

  /** @param {string} name @param {any[]} given @returns {Promise<any>} */
  call(name, ...given) {
    return this.worker.send(this.handle, name, given)
  }
}

/** A package that is ready to adapt, in its worker: what `load` returns. */
export class Learner extends Remote {
  /** @param {Background} worker @param {import('./worker.js').Handle} found */
  constructor(worker, { handle, about }) {
    super(worker, handle)
    /** @type {Manifest} */
    this.manifest = about.manifest
    /** @type {string} */
    this.identity = about.identity
  }

  /** The package's name. */
  get name() {
    return this.manifest.name
  }

  /** What an example has to be. */
  get input() {
    return this.manifest.input
  }

  /**
   * A task from labelled examples: as `Learner.adapt` of the runtime itself. Pictures may also be
   * canvases, images, videos, files, ImageBitmaps and VideoFrames; sounds files. A policy is given a rollout.
   * @param {Labelled | import('./rollout.js').Rollout} examples
   * @param {Labels | Draws} [labels]
   * @param {Draws} [draws]
   * @returns {Promise<Task>}
   */
  async adapt(examples, labels, draws) {
    const found = await this.call('adapt', await sendable(examples, this.input), labels, draws)
    return new Task(this, found)
  }

  /** The classes that every task of the package has; empty where each task has its own. @returns {string[]} */
  get classes() {
    return this.manifest.classes ?? []
  }

  /** The task without any example: everybody's classifier, or a policy that has not acted. @returns {Promise<Task>} */
  async start() {
    return new Task(this, await this.call('start'))
  }

  /** The task that `Task.save` gave, here or in Python. @param {Uint8Array | ArrayBuffer | Blob} file @returns {Promise<Task>} */
  async loadTask(file) {
    return new Task(this, await this.call('loadTask', file))
  }

  /** Makes every session, and runs them once. */
  prepare() {
    return this.call('prepare')
  }

  /** Whether this runtime computes what the trainer did, vector by vector. @returns {Promise<Report>} */
  verify() {
    return this.call('verify')
  }

  /** Ends the worker. */
  dispose() {
    this.worker.end(new HandfulError('the learner was disposed of'))
  }
}

/** A learner adapted to one support set; it never changes: what alters it gives another one. */
export class Task extends Remote {
  /** @param {Learner} learner @param {import('./worker.js').Handle} found */
  constructor(learner, { handle, about }) {
    super(learner.worker, handle)
    this.learner = learner
    /** @type {string[]} the labels in order of first appearance */
    this.classes = about.classes
    /** @type {Map<string, number>} how many examples of each class it was adapted to */
    this.counts = about.counts
  }

  /**
   * The answer to one query, or a list of answers to several; of a regression its outputs.
   * @template {Examples} Q
   * @param {Q} queries
   * @param {Ask} [ask]
   * @returns {Promise<Each<Q, Answer>>} of a regression what `outputs` gives
   */
  async predict(queries, ask) {
    return this.call('predict', await this.#sent(queries), ask)
  }

  /** The outputs of a regression. @template {Examples} Q @param {Q} queries @returns {Promise<Each<Q, Float32Array>>} */
  async outputs(queries) {
    return this.call('outputs', await this.#sent(queries))
  }

  /** What a policy does: {mean, deviation} of each action, or with noise an action. @param {Examples} observations @param {any} [noise] @returns {Promise<any>} */
  async act(observations, noise) {
    return this.call('act', await this.#sent(observations), noise)
  }

  /** What the package gave before the temperature. @template {Examples} Q @param {Q} queries @returns {Promise<Each<Q, Float32Array>>} */
  async logits(queries) {
    return this.call('logits', await this.#sent(queries))
  }

  /** The standard deviation over samples. @template {Examples} Q @param {Q} queries @returns {Promise<Each<Q, Float32Array>>} */
  async uncertainty(queries) {
    return this.call('uncertainty', await this.#sent(queries))
  }

  /** A new task: this support set and more; a policy goes on by a rollout. @param {Labelled | import('./rollout.js').Rollout} examples @param {Labels} [labels] @param {{fresh?: Iterable<string>}} [how] @returns {Promise<Task>} */
  async add(examples, labels, how) {
    return new Task(this.learner, await this.call('add', await this.#sent(examples), labels, how))
  }

  /** A new task: this support set without a class. @param {string} label @returns {Promise<Task>} */
  async remove(label) {
    return new Task(this.learner, await this.call('remove', label))
  }

  /** A new task with examples of none of its classes. @param {Examples} examples @returns {Promise<Task>} */
  async withNegatives(examples) {
    return new Task(this.learner, await this.call('withNegatives', await this.#sent(examples)))
  }

  /** The bytes of a saved task, which Python reads as well. @returns {Promise<Uint8Array>} */
  save() {
    return this.call('save')
  }

  /**
   * Hears the task's words in a stream of so many samples a second.
   * @param {number} rate @param {Hearing} [how]
   * @returns {Promise<Listener>}
   */
  async listener(rate, how) {
    const { handle } = await this.call('listener', rate, how)
    return new Listener(this.worker, handle)
  }

  /** @param {any} examples */
  #sent(examples) {
    return sendable(examples, this.learner.input)
  }
}

/** Hears a task's words in a stream; one for each stream. */
export class Listener extends Remote {
  /** The words that end within this block of samples. @param {Float32Array} block @returns {Promise<Heard[]>} */
  feed(block) {
    return this.call('feed', block)
  }

  /** The words at the stream's end, as if silence came after it. @returns {Promise<Heard[]>} */
  close() {
    return this.call('close')
  }
}

/**
 * The learner of a package, of which every graph is checked before any of them runs.
 * @param {string | URL | Uint8Array | ArrayBuffer | Blob} source the address of a folder or of a
 *   .handful file, or the bytes of one
 * @param {How} [how]
 * @returns {Promise<Learner>}
 */
export async function load(source, how = {}) {
  const here = globalThis.document?.baseURI
  const absolute = (/** @type {string | URL} */ address) => new URL(address, here).href
  const given = typeof source === 'string' || source instanceof URL ? absolute(source) : source
  const runtime = how.runtime === undefined ? undefined : absolute(how.runtime)
  const worker = new Background(how)
  try {
    const { options, prepare = true } = how
    return new Learner(worker, await worker.send(0, 'load', [given, { runtime, options, prepare }]))
  } catch (error) {
    worker.end(/** @type {Error} */ (error))
    throw error
  }
}

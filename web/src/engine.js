// Running a package: embed, the stages, predict; no line of any learner.
import { AdaptError, HandfulError, PackageError } from './errors.js'
import { embeddedShape, kept, product, same, targetsOf } from './manifest.js'

/**
 * @typedef {import('./manifest.js').Manifest} Manifest
 * @typedef {import('./manifest.js').StageSpec} StageSpec
 * @typedef {import('./package.js').Package} Package
 * @typedef {import('onnxruntime-common').Tensor} Tensor
 * @typedef {import('onnxruntime-common').InferenceSession} Session
 * @typedef {{Tensor: any, InferenceSession: {create: (bytes: Uint8Array, options?: any) =>
 *   Promise<Session>}}} Ort onnxruntime, of whichever kind
 * @typedef {{tensors: Map<string, Tensor>, sizes: Record<string, number>}} State what predict reads
 * @typedef {(stage: string, i: number, tensors: Map<string, Tensor>) => void} Observe
 * @typedef {() => number} Normal draws from a standard normal distribution
 */

const CHUNK = 8 // queries embedded at a time: larger batches are no faster and take more memory
const MAX_NOISE = 2 ** 24
const BROKEN = 'the package is not what its manifest says: `verify` shows where'

/** The graphs of one package in the order that its manifest gives; sessions are made when first needed. */
export class Engine {
  /** @type {Map<string, Promise<Session>>} */
  #sessions = new Map()
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve()
  #closed = false

  /** @param {Package} pack @param {Ort} ort @param {object} [options] of onnxruntime's sessions */
  constructor(pack, ort, options) {
    this.manifest = pack.manifest
    this.pack = pack
    this.ort = ort
    this.options = options
    this.inner = embeddedShape(pack.manifest)
  }

  /** @param {ArrayLike<number>} data @param {number[]} shape @returns {Tensor} */
  tensor(data, shape) {
    return new this.ort.Tensor('float32', data, shape)
  }

  /** @param {string} name @returns {Promise<Session>} */
  session(name) {
    if (this.#closed) throw new AdaptError('the learner was disposed of')
    let session = this.#sessions.get(name)
    if (!session) {
      const { bytes } = /** @type {{bytes: Uint8Array}} */ (this.pack.graphs.get(name))
      session = this.ort.InferenceSession.create(bytes, this.options).catch((error) => {
        throw new PackageError(`graph ${name} is refused by onnxruntime: ${firstLine(error)}`)
      })
      this.#sessions.set(name, session)
    }
    return session
  }

  /** Every session, made now: what is wrong with a graph shows before it is needed. */
  async prepare() {
    for (const name of this.pack.graphs.keys()) await this.session(name)
  }

  async dispose() {
    this.#closed = true
    await this.#turn.catch(() => {})
    for (const session of this.#sessions.values()) await (await session).release()
  }

  /**
   * The outputs of a graph by name; of `known` it gets the inputs that it lists. One run at a time.
   * @param {string} name
   * @param {Map<string, Tensor>} known
   * @param {Record<string, number>} sizes the numbers that are known for symbols
   * @returns {Promise<Map<string, Tensor>>}
   */
  async run(name, known, sizes) {
    const { inputs, outputs } = this.manifest.graphs[name]
    const names = this.pack.graphs.get(name)?.outputs ?? []
    const session = await this.session(name)
    /** @type {Record<string, Tensor>} */
    const feeds = {}
    for (const { name: input } of inputs) {
      const tensor = /** @type {Tensor} */ (known.get(input))
      if (tensor.dims.includes(0)) { // which ends the process in some kernels
        throw new AdaptError(`graph ${name} would be run on \`${input}\` [${tensor.dims}], wanted no`
          + ' empty axis', BROKEN)
      }
      feeds[input] = tensor
    }
    const turn = this.#turn.then(() => session.run(feeds))
    this.#turn = turn.catch(() => {})
    let found
    try {
      found = await turn
    } catch (error) {
      const shapes = Object.entries(feeds).map(([key, { dims }]) => `${key} [${dims}]`).join(', ')
      throw new AdaptError(`graph ${name} failed on ${shapes}: ${firstLine(error)}`, BROKEN)
    }
    return new Map(outputs.map((spec, i) => {
      const tensor = /** @type {Tensor | undefined} */ (found[names[i]])
      const shape = spec.shape.map((size) => typeof size === 'string' ? sizes[size] : size)
      if (!tensor || tensor.type !== spec.dtype || !same(tensor.dims, shape)) {
        throw new AdaptError(`graph ${name} gave \`${spec.name}\` as ${tensor?.type} [${tensor?.dims}],`
          + ` wanted ${spec.dtype} [${shape}]`, BROKEN)
      }
      return [spec.name, tensor]
    }))
  }

  /**
   * h [B, …] of examples x [B, …], `chunk` at a time.
   * @param {Float32Array} x @param {number} count @param {number} [chunk]
   * @returns {Promise<Float32Array>}
   */
  async embed(x, count, chunk = CHUNK) {
    const { embed, input } = this.manifest
    if (embed === null || !count) return x
    const [row, size] = [product(input.shape), product(this.inner)]
    const found = new Float32Array(count * size)
    for (let at = 0; at < count; at += chunk) {
      const part = Math.min(chunk, count - at)
      const tensor = this.tensor(x.slice(at * row, (at + part) * row), [part, ...input.shape])
      const h = (await this.run(embed, new Map([['x', tensor]]), { B: part })).get('h')
      found.set(/** @type {Float32Array} */ (h?.data), at * size)
    }
    finite('h', found, `graph ${embed}`)
    return found
  }

  /**
   * What a task keeps of the state, from embedded examples; noise is zero unless drawn. A policy goes on
   * from the state in which it has `begun`; without an example it takes no step.
   * @param {Float32Array} supportX @param {Float32Array} supportY @param {number} count S
   * @param {{normal?: Normal | null, observe?: Observe, begun?: State, still?: boolean}} [how]
   * @returns {Promise<State>}
   */
  async adapt(supportX, supportY, count, { normal = null, observe, begun, still = false } = {}) {
    if (!count) { // no graph is run on an empty axis: a row of no class is no example
      const { classes, task } = this.manifest
      const way = classes?.length ?? targetsOf(this.manifest)
      return this.adapt(new Float32Array(product(this.inner)), new Float32Array(way), 1,
        { normal, observe, still: task === 'policy' })
    }
    const sizes = { S: count, N: supportY.length / count }
    const known = new Map([
      ['support_x', this.tensor(supportX, [count, ...this.inner])],
      ['support_y', this.tensor(supportY, [count, sizes.N])],
      ...(begun?.tensors ?? []),
    ])
    for (const [at, stage] of this.manifest.stages.entries()) {
      let loss
      for (let i = begun && !at ? 1 : 0; i <= (still ? 0 : stage.steps); i++) {
        const graph = i ? /** @type {string} */ (stage.step) : stage.init
        const noise = i ? [] : this.noise(stage, sizes, normal)
        const outputs = await this.run(graph, new Map([...known, ...noise]), sizes)
        for (const [name, tensor] of outputs) if (name !== 'loss') known.set(name, tensor)
        loss = outputs.get('loss')
        observe?.(stage.name, i, outputs)
      }
      for (const name of stage.state) finite(name, known.get(name)?.data, `stage ${stage.name}`)
      if (loss) finite('loss', loss.data, `stage ${stage.name}`)
    }
    const reads = kept(this.manifest).map(({ name }) => name)
    const tensors = reads.map((name) => /** @type {const} */ ([name, known.get(name)]))
    return { tensors: new Map(/** @type {[string, Tensor][]} */ (tensors)), sizes }
  }

  /**
   * @param {StageSpec} stage @param {Record<string, number>} sizes @param {Normal | null} normal
   * @returns {[string, Tensor][]}
   */
  noise(stage, sizes, normal) {
    const { inputs } = this.manifest.graphs[stage.init]
    return inputs.filter(({ name }) => stage.noise.includes(name)).map(({ name, shape: symbols }) => {
      const shape = symbols.map((size) => typeof size === 'string' ? sizes[size] : size)
      if (product(shape) > MAX_NOISE) {
        throw new AdaptError(`noise \`${name}\` has shape [${shape}], at most ${MAX_NOISE} values`,
          'adapt to fewer examples or classes')
      }
      const length = product(shape)
      const values = normal ? Float32Array.from({ length }, normal) : new Float32Array(length)
      return [name, this.tensor(values, shape)]
    })
  }

  /**
   * logits [Q, N], or outputs [Q, O], of embedded queries, a row each.
   * @param {State} state @param {Float32Array} queryX @param {number} count Q
   * @returns {Promise<Float32Array[]>}
   */
  async predict(state, queryX, count) {
    if (!count) return []
    const { predict } = this.manifest
    const queries = this.tensor(queryX, [count, ...this.inner])
    const known = new Map([...state.tensors, ['query_x', queries]])
    const outputs = await this.run(predict, known, { ...state.sizes, Q: count })
    const [[name, answer]] = outputs
    const data = /** @type {Float32Array} */ (answer.data)
    finite(name, data, `graph ${predict}`)
    const width = data.length / count
    return Array.from({ length: count }, (_, i) => data.slice(i * width, (i + 1) * width))
  }
}

/** Refuses NaN and infinity: an answer made of them looks like one. @param {string} name @param {any} data @param {string} where */
function finite(name, data, where) {
  if (data instanceof Float32Array && !data.every(Number.isFinite)) {
    throw new AdaptError(`${where} gave ${name} with values that are not finite`,
      'look for examples far outside what the package was trained on')
  }
}

/** What onnxruntime says, without its stack of file names. @param {any} error */
function firstLine(error) {
  if (error instanceof HandfulError) throw error
  return String(error?.message ?? error).split('\n')[0].slice(0, 300)
}

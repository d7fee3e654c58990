// Vetting ONNX bytes before onnxruntime sees them: only what the format allows, nothing outside.
import { PackageError } from '../errors.js'
import { operators as table } from '../tables.js'
import { checkKernel, Known, noteKernel } from './kernels.js'
import { BOOL, FLOAT32, INT64, readAttribute, readConstant } from './operators.js'
import { brief, known, malformed, message, number, refuse, text, Walker } from './protobuf.js'
import { Follower } from './sizes.js'

/**
 * @typedef {import('./operators.js').Constant} Constant
 * @typedef {import('./operators.js').Value} Value
 * @typedef {import('./kernels.js').Node} Node
 * @typedef {{name: string, dtype: string, shape: (number | string)[]}} Port
 * @typedef {{inputs: Port[], outputs: Port[]}} Vetted
 */

const MAX_NODES = 20_000
const MAX_ATTRIBUTES = 64 // of a node
const AXES = 8
// Field numbers of onnx.proto; a field that is not named here is refused.
const MODEL = { 1: 'ir', 2: '', 3: '', 4: '', 5: '', 6: '', 7: 'graph', 8: 'opset', 14: '' }
const MODEL_REFUSED = { 20: 'training info', 25: 'functions', 26: 'device configurations' }
const GRAPH = {
  1: 'node', 2: '', 5: 'initializer', 10: '', 11: 'input', 12: 'output', 13: '', 16: '',
}
const GRAPH_REFUSED = { 14: 'quantisation annotations', 15: 'sparse initialisers' }
const NODE = {
  1: 'input', 2: 'output', 3: '', 4: 'op', 5: 'attribute', 6: '', 7: 'domain', 9: '',
}
const NODE_REFUSED = { 8: 'an overload', 10: 'device configurations' }

const LOGICAL = new Set('And Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Not Or Xor'.split(' '))
const COUNTS = new Set(['ArgMax', 'ArgMin', 'Shape', 'Size'])
/** @type {Record<string, number>} the input whose type the output has; the first elsewhere */
const LIKE = { DequantizeLinear: 1, QuantizeLinear: 2, Where: 1 }

/**
 * The inputs and outputs of a model that the format allows; a PackageError of any other.
 * @param {Uint8Array} bytes
 * @param {string} name of the file, in errors
 * @returns {Vetted}
 */
export function vet(bytes, name) {
  try {
    return new Vetter().model(bytes)
  } catch (error) {
    if (!(error instanceof PackageError)) throw error
    throw new PackageError(`${name}: ${error.message}`, error.hint)
  }
}

/** One walk over one model, and what it has learnt so far. */
class Vetter {
  walker = new Walker()
  known = new Known()
  sizes = new Follower()
  /** @type {Port[]} */
  inputs = []
  /** @type {Port[]} */
  outputs = []

  /** @param {Uint8Array} bytes */
  model(bytes) {
    /** @type {Uint8Array | null} */
    let graph = null
    let versions = 0
    let sets = 0
    for (const [field, wire, value] of this.walker.fields(bytes, [8, 14])) {
      const kind = known(field, MODEL, MODEL_REFUSED, 'the model')
      if (kind === 'ir') {
        versions++
        const version = number(wire, value)
        if (version !== table.ir_version) refuse(`IR version ${version}, wanted ${table.ir_version}`)
      }
      if (kind === 'graph') graph = message(wire, value)
      if (kind === 'opset') {
        sets++
        this.opset(message(wire, value))
      }
    }
    if (sets > 1) refuse(`${sets} operator sets, wanted one`)
    if (!graph || sets !== 1 || versions !== 1) return malformed()
    this.graph(graph)
    return { inputs: this.inputs, outputs: this.outputs }
  }

  /** @param {Uint8Array} bytes */
  opset(bytes) {
    let version = 0
    for (const [field, wire, value] of this.walker.fields(bytes)) {
      if (field === 1) standard(text(wire, value), 'operators')
      if (field === 2) version = number(wire, value)
    }
    if (version !== table.opset) refuse(`opset ${version}, wanted ${table.opset}`)
  }

  /** Inputs and constants first, then the nodes. @param {Uint8Array} bytes */
  graph(bytes) {
    const nodes = []
    for (const [field, wire, value] of this.walker.fields(bytes, [1, 5, 11, 12, 13, 16])) {
      const kind = known(field, GRAPH, GRAPH_REFUSED, 'the graph')
      if (kind === 'node') {
        if (nodes.push(message(wire, value)) > MAX_NODES) refuse(`more than ${MAX_NODES} nodes`)
      } else if (kind === 'initializer') {
        const constant = readConstant(this.walker, message(wire, value))
        this.define(constant.name, constant.type)
        this.keep(constant.name, constant)
      } else if (kind === 'input') {
        const { name, shape, type } = this.port(message(wire, value), this.inputs)
        this.define(name, type)
        this.sizes.noteInput(name, shape)
      } else if (kind === 'output') this.port(message(wire, value), this.outputs)
    }
    for (const node of nodes) this.node(this.read(node))
  }

  /** @param {Node} node */
  node(node) {
    const { op, inputs, outputs, attributes } = node
    for (const name of inputs) {
      if (!this.known.types.has(name)) {
        refuse(`a ${op} reads ${brief(name)}, which nothing before it gives`)
      }
    }
    if (op === 'Constant' && attributes.size !== 1) {
      refuse(`a Constant with ${attributes.size} attributes, wanted one`)
    }
    checkKernel(node, this.known)
    const types = inputs.map((name) => this.known.types.get(name) ?? null)
    const first = typeOf(node, types)
    outputs.forEach((name, i) => {
      let type = COUNTS.has(op) ? INT64 : first
      if (i && (op === 'MaxPool' || op === 'TopK')) type = i === 1 ? INT64 : null
      if (name) this.define(name, type)
    })
    this.sizes.noteNode(node)
    if (op === 'Constant' && outputs.length) this.keep(outputs[0], [...attributes.values()][0])
    noteKernel(node, this.known)
  }

  /** @param {Uint8Array} bytes @returns {Node} */
  read(bytes) {
    /** @type {Node} */
    const node = { op: '', inputs: [], outputs: [], attributes: new Map() }
    const raw = []
    for (const [field, wire, value] of this.walker.fields(bytes, [1, 2, 5, 9])) {
      const kind = known(field, NODE, NODE_REFUSED, 'a node')
      if (kind === 'input') node.inputs.push(text(wire, value))
      else if (kind === 'output') node.outputs.push(text(wire, value))
      else if (kind === 'op') node.op = text(wire, value)
      else if (kind === 'domain') standard(text(wire, value), 'an operator')
      else if (kind === 'attribute') raw.push(message(wire, value))
    }
    const { op } = node
    if (!Object.hasOwn(table.operators, op)) {
      refuse(`operator ${brief(op)} is ${table.control_flow.includes(op) ? 'control flow'
        : table.random.includes(op) ? 'random; noise is an input'
          : 'not one that the format allows'}`)
    }
    if (raw.length > MAX_ATTRIBUTES) {
      refuse(`a ${op} with ${raw.length} attributes, at most ${MAX_ATTRIBUTES}`)
    }
    for (const attribute of raw) {
      const [name, value] = readAttribute(this.walker, attribute, op)
      if (node.attributes.has(name)) refuse(`a ${op} with two attributes ${brief(name)}`)
      node.attributes.set(name, value)
    }
    return node
  }

  /** @param {string} name @param {number | null} type */
  define(name, type) {
    if (this.known.types.has(name)) refuse(`two tensors are called ${brief(name)}`)
    this.known.types.set(name, type)
  }

  /** Notes the shape of a constant, and the values of a short int64 one. @param {string} name @param {Value} value */
  keep(name, value) {
    if (typeof value === 'object' && !Array.isArray(value)) {
      this.known.shapes.set(name, value.shape)
      if (value.values) this.known.constants.set(name, value.values)
      this.sizes.noteConstant(name, value.shape, value.values)
      return
    }
    const values = /** @type {number[]} */ ([value].flat())
    const integers = this.known.types.get(name) === INT64
    if (integers) this.known.constants.set(name, values)
    this.sizes.noteConstant(name, Array.isArray(value) ? [value.length] : [], integers ? values : null)
  }

  /** An input or output of the graph. @param {Uint8Array} bytes @param {Port[]} ports */
  port(bytes, ports) {
    let name = ''
    let type = 0
    /** @type {(number | string)[]} */
    let shape = []
    for (const [field, wire, value] of this.walker.fields(bytes, [4])) {
      if (field === 1) name = text(wire, value)
      if (field !== 2) continue
      for (const [inner, wire_, value_] of this.walker.fields(message(wire, value))) {
        if (inner === 1) [type, shape] = this.tensorType(message(wire_, value_))
        else if (inner !== 6) refuse('an input or output is not a tensor') // 6: a denotation
      }
    }
    if (ports.some((port) => port.name === name)) refuse(`two tensors are called ${brief(name)}`)
    ports.push({ name, dtype: table.element_types[type] ?? `type ${type}`, shape })
    return { name, type, shape }
  }

  /** @param {Uint8Array} bytes @returns {[number, (number | string)[]]} */
  tensorType(bytes) {
    let type = 0
    /** @type {(number | string)[] | null} */
    let shape = null
    for (const [field, wire, value] of this.walker.fields(bytes)) {
      if (field === 1) type = number(wire, value)
      if (field === 2) shape = [...this.dimensions(message(wire, value))]
    }
    if (!shape || shape.length > AXES) {
      refuse(`an input or output has no shape, or one of more than ${AXES} axes`)
    }
    return [type, shape]
  }

  /** @param {Uint8Array} bytes @returns {Generator<number | string>} */
  *dimensions(bytes) {
    for (const [field, wire, value] of this.walker.fields(bytes, [1])) {
      if (field !== 1) continue
      /** @type {number | string} */
      let size = '?'
      for (const [inner, wire_, value_] of this.walker.fields(message(wire, value))) {
        if (inner === 1) size = number(wire_, value_)
        else if (inner === 2) size = text(wire_, value_)
      }
      yield size
    }
  }
}

/** @param {string} domain @param {string} what */
function standard(domain, what) {
  if (domain !== '' && domain !== 'ai.onnx') {
    refuse(`${what} of domain ${brief(domain)}, wanted the standard domain`)
  }
}

/** The type of a node's outputs. @param {Node} node @param {(number | null)[]} inputs */
function typeOf({ op, attributes }, inputs) {
  if (LOGICAL.has(op)) return BOOL
  const declared = attributes.get('to') ?? attributes.get('dtype')
  if (typeof declared === 'number') return declared
  if (op === 'Constant' || op === 'ConstantOfShape') {
    for (const [name, value] of attributes) {
      if (typeof value === 'object' && !Array.isArray(value)) return value.type
      if (name.startsWith('value_int')) return INT64
    }
    return FLOAT32
  }
  return inputs[LIKE[op] ?? 0] ?? null
}

// What keeps onnxruntime's kernels within their memory, beyond an operator's own attributes.
//
// Integers are divided by constants alone, a Split has as many outputs as parts, an LSTM and tensors
// of 8 bits are those that exporting makes; docs/package-format.md has the rules.
import { FLOAT16, FLOAT32, FLOAT64, INT32, INT8, UINT8 } from './operators.js'
import { brief, refuse } from './protobuf.js'

/**
 * @typedef {import('./operators.js').Value} Value
 * @typedef {{op: string, inputs: string[], outputs: string[], attributes: Map<string, Value>}} Node
 */

const MAX_MADE = 2 ** 24 // elements of what a constant shape asks for
/** @type {Record<string, number>} the input that says how large the output is */
const MAKERS = { ConstantOfShape: 0, Expand: 1, Pad: 1, Range: 1, Tile: 1 }
// what may stand between a DequantizeLinear and a QuantizeLinear
const BETWEEN = new Set(('Add Clip Concat Conv Flatten GlobalAveragePool MaxPool Mul Relu Reshape Slice'
  + ' Squeeze Transpose Unsqueeze').split(' '))

/** What is known of the tensors that stand by now, by name. */
export class Known {
  /** @type {Map<string, number | null>} */
  types = new Map([['', null]])
  /** @type {Map<string, number[]>} of constants */
  shapes = new Map()
  /** @type {Map<string, number[]>} the values of short int64 ones */
  constants = new Map()
  /** @type {Map<string, number>} [S, 1, D] by construction: D */
  sequences = new Map()
  /** @type {Map<string, number[] | undefined>} what DequantizeLinear gave: of a constant its shape */
  dequantised = new Map()
  /** @type {Set<string>} what is computed from these in float32 */
  floats = new Set()
}

/** @param {number[] | undefined} found @param {number[]} wanted */
const shaped = (found, wanted) =>
  found?.length === wanted.length && wanted.every((size, i) => size === found[i])

/** Throws where the node's kernel could leave its memory. @param {Node} node @param {Known} known */
export function checkKernel(node, known) {
  const { op, inputs } = node
  if (op === 'Div' || op === 'Mod') division(node, known)
  if (op === 'Split') split(node, known)
  if (op === 'LSTM') lstm(node, known)
  const asked = Object.hasOwn(MAKERS, op) ? known.constants.get(inputs[MAKERS[op]]) : undefined
  if (asked && asked.reduce((all, size) => all * Math.max(Math.abs(size), 1), 1) > MAX_MADE) {
    refuse(`${op} makes a tensor of shape [${asked}], at most ${MAX_MADE} values`)
  }
  if (op !== 'Cast' && inputs.some((name) => known.types.get(name) === FLOAT16)) {
    refuse(`a ${op} of float16, which only a Cast may read`)
  }
  if (op === 'QuantizeLinear') quantise(node, known)
  if (op === 'DequantizeLinear') dequantise(node, known)
  if (op === 'Conv') convolution(node, known)
}

/** Remembers what later nodes are checked by. @param {Node} node @param {Known} known */
export function noteKernel({ op, inputs, outputs, attributes }, known) {
  if (op === 'Reshape' && inputs.length === 2 && !attributes.get('allowzero')) {
    const shape = known.constants.get(inputs[1]) ?? []
    if (shape.length === 3 && shape[0] === -1 && shape[1] === 1 && shape[2] > 0) {
      known.sequences.set(outputs[0], shape[2])
    }
  }
  if (op === 'DequantizeLinear') known.dequantised.set(outputs[0], known.shapes.get(inputs[0]))
  else if (!BETWEEN.has(op) && inputs.some((name) => known.dequantised.has(name))) {
    outputs.forEach((name) => known.floats.add(name))
  }
}

/** @param {Node} node @param {Known} known */
function division({ op, inputs }, known) {
  const divisor = inputs[1] ?? ''
  const type = known.types.get(divisor)
  if (type === FLOAT32 || type === FLOAT64) return
  const values = known.constants.get(divisor)
  if (!values?.length || values.includes(0) || values.includes(-1)) {
    refuse(`an integer ${op} by ${brief(divisor)}, wanted floats, or a constant divisor of type`
      + ' int64 without 0 and -1')
  }
}

/** @param {Node} node @param {Known} known */
function split({ inputs, outputs, attributes }, known) {
  let parts = attributes.get('num_outputs')
  if (inputs[1]) {
    const sizes = known.constants.get(inputs[1]) ?? [-1]
    parts = sizes.length && sizes.every((size) => size >= 0) && parts === undefined
      ? sizes.length : undefined
  }
  if (parts !== outputs.length) {
    refuse(`a Split into ${outputs.length} outputs, wanted \`num_outputs\`, or a constant of sizes,`
      + ' for as many')
  }
}

/** One sequence against constant weights that fit it and each other. @param {Node} node @param {Known} known */
function lstm({ inputs, outputs, attributes }, known) {
  if (inputs.length !== 4 || outputs.length !== 1) {
    refuse(`an LSTM of ${inputs.length} inputs and ${outputs.length} outputs, wanted X, W, R and B,`
      + ' and Y alone')
  }
  const width = known.sequences.get(inputs[0])
  if (width === undefined || known.types.get(inputs[0]) !== FLOAT32) {
    refuse(`an LSTM over ${brief(inputs[0])}, wanted float32 from a Reshape to the constant`
      + ' [-1, 1, D]')
  }
  const hidden = attributes.get('hidden_size')
  if (typeof hidden !== 'number') refuse('an LSTM without `hidden_size`')
  const directions = attributes.get('direction') === 'bidirectional' ? 2 : 1
  const rows = 4 * hidden
  const wanted = [[directions, rows, width], [directions, rows, hidden], [directions, 2 * rows]]
  wanted.forEach((shape, i) => {
    const name = inputs[i + 1]
    if (known.types.get(name) !== FLOAT32 || !shaped(known.shapes.get(name), shape)) {
      refuse(`an LSTM whose ${'WRB'[i]} is ${brief(name)}, wanted a float32 constant of shape`
        + ` [${shape}]`)
    }
  })
}

/** @param {Node} node @param {string} wanted @returns {never} */
const wrong = ({ op, inputs }, wanted) => refuse(`a ${op} of ${brief(inputs[0] ?? '')}, wanted ${wanted}`)

/** @param {Node} node */
function three(node) {
  if (node.inputs.length !== 3 || node.outputs.length !== 1) {
    wrong(node, 'a tensor, its scale and its zero point')
  }
}

/** @param {Node} node @param {Known} known */
function quantise(node, known) {
  three(node)
  const [x, scale, zero] = node.inputs
  const to = known.types.get(zero)
  if (known.types.get(x) !== FLOAT32 || known.types.get(scale) !== FLOAT32
    || (to !== UINT8 && to !== INT8)) wrong(node, 'float32 to uint8 or int8')
  if (!shaped(known.shapes.get(scale), []) || !shaped(known.shapes.get(zero), [])) {
    wrong(node, 'a constant scale and zero point, scalars')
  }
  if (known.floats.has(x)) wrong(node, `what one of ${[...BETWEEN].join(', ')} makes of 8-bit tensors`)
}

/** @param {Node} node @param {Known} known */
function dequantise(node, known) {
  three(node)
  const [x, scale, zero] = node.inputs
  const type = known.types.get(x)
  if ((type !== UINT8 && type !== INT8 && type !== INT32) || known.types.get(zero) !== type) {
    wrong(node, 'uint8, int8 or int32, and a zero point of that type')
  }
  if (known.types.get(scale) !== FLOAT32) wrong(node, 'a scale of type float32')
  const constant = known.shapes.get(x) ?? []
  const rows = constant.at(/** @type {number} */ (node.attributes.get('axis') ?? 1))
  const shapes = [[], ...rows === undefined ? [] : [[rows]]]
  const fits = shapes.some((shape) =>
    shaped(known.shapes.get(scale), shape) && shaped(known.shapes.get(zero), shape))
  if (!fits) wrong(node, 'a constant scale and zero point, scalars or, of a constant, one a row')
}

/** @param {Node} node @param {Known} known */
function convolution(node, known) {
  if (!node.inputs.some((name) => known.dequantised.has(name))) return
  const weight = known.dequantised.get(node.inputs[1]) ?? []
  const bias = node.inputs[2]
  const fits = !bias || shaped(known.dequantised.get(bias), weight.slice(0, 1))
  if (weight.length < 3 || weight.includes(0) || !fits) {
    wrong(node, 'constant filters of 8 bits, and a constant bias of 32 bits for each')
  }
}

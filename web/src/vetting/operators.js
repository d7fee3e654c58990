// The attributes and constants of a graph, held to the table of operators.
import { operators as table } from '../tables.js'
import {
  brief, count, fixedCount, integers, known, malformed, message, number, rawFloats, rawIntegers,
  refuse, text,
} from './protobuf.js'

/**
 * @typedef {import('./protobuf.js').Walker} Walker
 * @typedef {{name: string, type: number, shape: number[], values: number[] | null}} Constant
 *   what is known of a constant without a copy of its values; `values` of a short int64 one
 * @typedef {number | number[] | string | string[] | Constant} Value of an attribute
 */

const AXES = 8
const MAX_ELEMENTS = 2 ** 27
const MAX_ENTRIES = 64 // of an attribute that is a list
const SHORT = 64 // int64 values that are looked at: shapes, divisors
export const [FLOAT32, UINT8, INT8, INT32, INT64, BOOL, FLOAT16, FLOAT64] = [1, 2, 3, 6, 7, 9, 10, 11]

// Field numbers of TensorProto in onnx.proto; a field that is not named here is refused.
/** @type {Record<number, string>} */
const TENSOR = {
  1: 'dims', 2: 'type', 4: 'floats', 5: 'ints', 7: 'longs', 8: 'name', 9: 'raw', 10: 'doubles',
  12: '', 14: 'location', 16: '',
}
const TENSOR_REPEATED = [1, 4, 5, 7, 10, 16]
const TENSOR_REFUSED = {
  3: 'segments', 6: 'strings', 11: 'unsigned 64-bit data', 13: 'external data',
}
/** @type {Record<number, number>} */
const WIDTH = { 1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8 }
/** @type {Record<number, string>} */
const LISTED = {
  1: 'floats', 2: 'ints', 3: 'ints', 6: 'ints', 7: 'longs', 9: 'ints', 10: 'ints', 11: 'doubles',
}

/**
 * The constant in a TensorProto.
 * @param {Walker} walker @param {Uint8Array} bytes
 * @returns {Constant}
 */
export function readConstant(walker, bytes) {
  /** @type {number[]} */
  const shape = []
  /** @type {number[]} */
  let longs = []
  /** @type {Record<string, number>} */
  const listed = {}
  let name = ''
  let type = 0
  /** @type {Uint8Array | null} */
  let raw = null
  for (const [field, wire, value] of walker.fields(bytes, TENSOR_REPEATED)) {
    const kind = known(field, TENSOR, TENSOR_REFUSED, 'a constant')
    if (kind === 'dims') shape.push(...integers(wire, value, AXES))
    else if (kind === 'type') type = number(wire, value)
    else if (kind === 'name') name = text(wire, value)
    else if (kind === 'raw') raw = message(wire, value)
    else if (kind === 'location') {
      if (number(wire, value)) refuse('a constant has external data')
    } else if (kind) {
      const width = { floats: 4, doubles: 8 }[kind]
      listed[kind] = (listed[kind] ?? 0)
        + (width ? fixedCount(wire, value, /** @type {4 | 8} */ (width)) : count(wire, value))
      if (kind === 'longs' && listed[kind] <= SHORT) longs = [...longs, ...integers(wire, value, SHORT)]
    }
  }
  const what = `constant ${brief(name)}`
  if (!Object.hasOwn(table.stored_types, type)) {
    refuse(`${what} has element type ${type}, wanted a number`)
  }
  const size = shape.reduce((a, b) => a * b, 1)
  if (shape.length > AXES || shape.some((axis) => axis < 0) || size > MAX_ELEMENTS) {
    refuse(`${what} has shape [${shape.slice(0, AXES)}], at most ${AXES} axes and ${MAX_ELEMENTS}`
      + ' values are read')
  }
  const others = Object.keys(listed).filter((kind) => kind !== LISTED[type])
  const several = others.length || (raw && Object.keys(listed).length)
  const present = raw ? raw.length / WIDTH[type] : listed[LISTED[type]] ?? 0
  if (several || present !== size) refuse(`${what} has ${present} values, its shape [${shape}]`)
  const short = type === INT64 && size <= SHORT
  return { name, type, shape, values: short ? (raw ? rawIntegers(raw) : longs) : null }
}

// Field numbers of AttributeProto in onnx.proto; a field that is not named here is refused.
/** @type {Record<number, string>} */
const FIELDS = {
  1: 'name', 2: 'float', 3: 'int', 4: 'string', 5: 'tensor', 7: 'floats', 8: 'ints', 9: 'strings',
  13: '', 20: 'type',
}
const REFUSED = {
  6: 'a subgraph', 10: 'tensors', 11: 'a subgraph', 14: 'a type', 15: 'a type',
  21: "a function's attribute", 22: 'a sparse tensor', 23: 'a sparse tensor',
}
/** @type {Record<number, string>} */
const TYPES = {
  1: 'float', 2: 'int', 3: 'string', 4: 'tensor', 6: 'floats', 7: 'ints', 8: 'strings',
}

/**
 * The name and value of an attribute, as the table of operators allows it.
 * @param {Walker} walker @param {Uint8Array} bytes @param {string} op
 * @returns {[string, Value]}
 */
export function readAttribute(walker, bytes, op) {
  let name = ''
  let type = ''
  /** @type {Record<string, any>} what each type's field holds; the field of the type counts */
  const found = { float: 0, int: 0, string: '', floats: [], ints: [], strings: [] }
  for (const [field, wire, value] of walker.fields(bytes, [7, 8, 9])) {
    const kind = known(field, FIELDS, REFUSED, `an attribute of ${op}`)
    if (kind === 'name') name = text(wire, value)
    else if (kind === 'type') type = TYPES[number(wire, value)] ?? ''
    else if (kind === 'tensor') found.tensor = readConstant(walker, message(wire, value))
    else if (kind === 'int') found.int = number(wire, value)
    else if (kind === 'string') found.string = text(wire, value)
    else if (kind === 'strings') found.strings.push(text(wire, value))
    else if (kind === 'ints') found.ints.push(...integers(wire, value, MAX_ENTRIES))
    else if (kind === 'float' || kind === 'floats') {
      const many = fixedCount(wire, value, 4)
      if (!many || typeof value === 'number') return malformed()
      if (many > MAX_ENTRIES) refuse(`a list of more than ${MAX_ENTRIES} numbers`)
      if (kind === 'float') [found.float] = rawFloats(value)
      else found.floats.push(...rawFloats(value))
    }
    if (Math.max(found.ints.length, found.floats.length, found.strings.length) > MAX_ENTRIES) {
      refuse(`a list of more than ${MAX_ENTRIES} entries in an attribute of ${op}`)
    }
  }
  const rules = table.operators[op]
  if (!Object.hasOwn(rules, name)) {
    refuse(`${op} has an attribute ${brief(name)}, the format allows none`)
  }
  const rule = rules[name]
  if (type !== rule.type) {
    refuse(`attribute ${brief(name)} of ${op} is of type ${type || 'unknown'}, wanted ${rule.type}`)
  }
  const value = found[type]
  if (value === undefined) malformed()
  const fits = [value].flat().every((entry) => typeof entry === 'number'
    ? (rule.min === undefined || entry >= rule.min) && (rule.max === undefined || entry <= rule.max)
    : typeof entry !== 'string' || !rule.values || rule.values.includes(entry))
  const stored = (name !== 'to' && name !== 'dtype') || Object.hasOwn(table.element_types, value)
  if (!fits || !stored) {
    refuse(`attribute ${brief(name)} of ${op} is ${JSON.stringify(value).slice(0, 120)}, wanted `
      + (rule.values?.join(', ') ?? `${rule.min ?? 'any'} to ${rule.max ?? 'any'}`))
  }
  return [name, value]
}

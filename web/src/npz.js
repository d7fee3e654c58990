// .npz: an archive of numpy's arrays, .npy of version 1.0 without pickles; written stored.
import { shown } from './errors.js'
import { archive, concatenate, directory, extract, latin } from './zip.js'

/**
 * @typedef {import('./zip.js').Kind} Kind
 * @typedef {'float32' | 'int64' | 'uint8' | 'int16'} Dtype
 * @typedef {{data: any, shape: number[], dtype: Dtype}} Stored `data` a typed array of the dtype
 */

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.\-/[\]:]{0,299}\.npy$/
const HEADER = /^\{'descr': '([<|][fiu]\d)', 'fortran_order': False, 'shape': \(([\d, ]*)\),? *\} *\n?$/
const MAX_HEADER = 1000 // bytes of text in front of an array
const MAX_AXES = 8
export const MAX_MEMBERS = 20_000
/** @type {Record<string, [Dtype, any]>} */
const TYPES = {
  '<f4': ['float32', Float32Array], '<i8': ['int64', BigInt64Array], '|u1': ['uint8', Uint8Array],
  '<i2': ['int16', Int16Array],
}

/**
 * The arrays in an archive, at most `size` bytes of them.
 * @param {Uint8Array} bytes @param {string} name @param {Kind} Kind
 * @param {{size: number, deflated?: boolean}} limits
 * @returns {Promise<Map<string, Stored>>}
 */
export async function readNpz(bytes, name, Kind, limits) {
  const members = directory(bytes, name, Kind, { members: MAX_MEMBERS, ...limits })
  for (const member of members) {
    if (!NAME.test(member.name)) {
      throw new Kind(`${name} has a member ${shown(member.name)}, wanted plain names ending in .npy`)
    }
  }
  const found = new Map()
  for (const member of members) {
    const content = await extract(bytes, member, name, Kind)
    const array = readNpy(content)
    if (!array) throw new Kind(`${name}: ${shown(member.name)} is not npy version 1.0 of its size`)
    found.set(member.name.slice(0, -4), array)
  }
  return found
}

/** @param {Uint8Array} bytes @returns {Stored | null} */
function readNpy(bytes) {
  if (bytes.length < 10 || latin(bytes.subarray(0, 8)) !== '\x93NUMPY\x01\x00') return null
  const end = 10 + bytes[8] + 256 * bytes[9]
  if (end > bytes.length || end > MAX_HEADER + 10) return null
  const match = HEADER.exec(latin(bytes.subarray(10, end)))
  if (!match || !Object.hasOwn(TYPES, match[1])) return null
  const [dtype, Typed] = TYPES[match[1]]
  const shape = match[2].split(',').map((size) => size.trim()).filter(Boolean).map(Number)
  const size = shape.reduce((a, b) => a * b, Typed.BYTES_PER_ELEMENT)
  if (shape.length > MAX_AXES || size !== bytes.length - end) return null
  const { buffer, byteOffset } = bytes // a Buffer's own slice would be a view
  return { data: new Typed(buffer.slice(byteOffset + end, byteOffset + bytes.length)), shape, dtype }
}

/** The bytes of an archive with these arrays. @param {Iterable<[string, Stored]>} arrays */
export function packNpz(arrays) {
  return archive(Array.from(arrays, ([name, { data, shape, dtype }]) => {
    const descr = Object.keys(TYPES).find((key) => TYPES[key][0] === dtype)
    const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
    const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`
    const length = Math.ceil((text.length + 11) / 64) * 64 - 10
    const head = Uint8Array.of(0x93, 78, 85, 77, 80, 89, 1, 0, length & 255, length >> 8)
    const words = new TextEncoder().encode(`${text.padEnd(length - 1)}\n`)
    const body = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    return [`${name}.npy`, concatenate([head, words, body])]
  }))
}

// Walking over a protobuf message: views of the bytes, no copies.
import { PackageError, shown } from '../errors.js'

const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5]
const MAX_FIELDS = 2 ** 19 // of all messages of one model
const MAX_NUMBER = 2 ** 29 - 1 // of a field: a larger one wraps round in other readers
const MAX_TEXT = 1024 // bytes of a name
export const HINT = 'see docs/package-format.md'

/** @typedef {number | Uint8Array} Value an integer, or the bytes of anything else */

/** @param {string} message @param {string} [hint] @returns {never} */
export function refuse(message, hint = HINT) {
  throw new PackageError(message, hint)
}

/** @returns {never} */
export const malformed = () => refuse('not a whole ONNX model', 'copy the package again, as a whole')

/** Walks over nested messages, over so many fields in all. */
export class Walker {
  constructor() {
    this.left = MAX_FIELDS
  }

  /**
   * The number, wire type and value of each field of one message, in the bytes' order.
   *
   * A field that is not `repeated` stands once: of two, other readers take the last, or merge them
   * into a message that nobody has seen.
   * @param {Uint8Array} bytes
   * @param {readonly number[]} [repeated]
   * @returns {Generator<[number, number, Value]>}
   */
  *fields(bytes, repeated = []) {
    const seen = new Set()
    const reader = new Varints(bytes)
    while (reader.at < bytes.length) {
      const key = reader.next()
      const number = Math.floor(key / 8)
      const wire = key % 8
      if (key < 8 || number > MAX_NUMBER) malformed()
      /** @type {Value} */
      let value
      if (wire === VARINT) value = reader.next()
      else {
        const size = wire === BYTES ? reader.next() : wire === FIXED32 ? 4 : wire === FIXED64 ? 8 : -1
        if (size < 0 || reader.at + size > bytes.length) malformed()
        value = bytes.subarray(reader.at, reader.at += size)
      }
      if (--this.left < 0) refuse(`more than ${MAX_FIELDS} fields`)
      if (!repeated.includes(number)) {
        if (seen.has(number)) refuse(`field ${number} of a message is given twice`)
        seen.add(number)
      }
      yield [number, wire, value]
    }
  }
}

/** The integers in a run of varints, as int64; beyond 2⁵³ the nearest that a number holds. */
class Varints {
  at = 0

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes
  }

  next() {
    const { bytes } = this
    let value = 0
    for (let i = 0; i < 7; i++) {
      const byte = bytes[this.at++]
      if (byte === undefined) malformed()
      value += (byte & 127) * 2 ** (7 * i)
      if (byte < 128) return value
    }
    let large = BigInt(value)
    for (let i = 7n; i < 10n; i++) {
      const byte = bytes[this.at++]
      if (byte === undefined) malformed()
      large |= BigInt(byte & 127) << (7n * i)
      if (byte < 128) return Number(BigInt.asIntN(64, large))
    }
    return malformed()
  }
}

/** @param {number} wire @param {Value} value */
export function message(wire, value) {
  return wire === BYTES && typeof value !== 'number' ? value : malformed()
}

/** @param {number} wire @param {Value} value */
export function number(wire, value) {
  return wire === VARINT && typeof value === 'number' ? value : malformed()
}

/** @param {number} wire @param {Value} value */
export function text(wire, value) {
  const bytes = message(wire, value)
  if (bytes.length > MAX_TEXT) {
    refuse(`a name of ${bytes.length} bytes, at most ${MAX_TEXT} are read`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return malformed()
  }
}

/** How many entries one entry, or a packed run, of int64 has. @param {number} wire @param {Value} value */
export function count(wire, value) {
  if (typeof value === 'number') return 1
  if (wire !== BYTES || (value.length && value[value.length - 1] >= 128)) malformed()
  return value.reduce((sum, byte) => sum + (byte < 128 ? 1 : 0), 0)
}

/**
 * One entry, or a packed run of at most `most`, of a repeated int64.
 * @param {number} wire @param {Value} value @param {number} most
 */
export function integers(wire, value, most) {
  if (typeof value === 'number') return [value]
  if (count(wire, value) > most) refuse(`a list of more than ${most} numbers`)
  const reader = new Varints(value)
  const found = []
  while (reader.at < value.length) found.push(reader.next())
  return found
}

/**
 * How many entries one entry, or a packed run, of floats of `width` bytes has.
 * @param {number} wire @param {Value} value @param {4 | 8} width
 */
export function fixedCount(wire, value, width) {
  const own = width === 4 ? FIXED32 : FIXED64
  if (typeof value === 'number' || (wire !== BYTES && wire !== own) || value.length % width) {
    return malformed()
  }
  return value.length / width
}

/** @param {Uint8Array} bytes */
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Little-endian int64s, as raw tensor data has them. @param {Uint8Array} bytes */
export const rawIntegers = (bytes) =>
  Array.from({ length: bytes.length / 8 }, (_, i) => Number(view(bytes).getBigInt64(8 * i, true)))

/** @param {Uint8Array} bytes */
export const rawFloats = (bytes) =>
  Array.from({ length: bytes.length / 4 }, (_, i) => view(bytes).getFloat32(4 * i, true))

/**
 * What the field `number` is; an error where the format allows none.
 * @param {number} number @param {Record<number, string>} fields
 * @param {Record<number, string>} refused @param {string} where
 */
export function known(number, fields, refused, where) {
  if (Object.hasOwn(fields, number)) return fields[number]
  return refuse(`${where} has ${refused[number] ?? `an unknown field ${number}`}`,
    `the format allows none, ${HINT}`)
}

/** A name in a message. @param {string} name */
export const brief = (name) => shown(name)

// Zip archives with every size checked before memory is taken: .npz files, and packages as one file.
import { shown } from './errors.js'

/**
 * @typedef {{name: string, method: number, packed: number, size: number, crc: number, from: number,
 *   at: number}} Member `at` of its local header, `from` of its bytes
 * @typedef {new (message: string, hint?: string) => Error} Kind
 */

const LOCAL = 0x04034b50
const CENTRAL = 0x02014b50
const END = 0x06054b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
const OPEN = 0xffffffff // a size that a zip64 field has
const ENCRYPTED = 1
const [STORED, DEFLATED] = [0, 8]

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let crc = n
  for (let i = 0; i < 8; i++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1
  return crc
})

/** @param {Uint8Array} bytes */
export function crc32(bytes) {
  let crc = -1
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8)
  return ~crc >>> 0
}

/**
 * The members of an archive by its directory, in its order; none of them is read yet.
 * @param {Uint8Array} bytes
 * @param {string} name in errors
 * @param {Kind} Kind
 * @param {{members: number, size: number, deflated?: boolean}} most members, and bytes of all of them
 * @returns {Member[]}
 */
export function directory(bytes, name, Kind, { members: most, size: limit, deflated = false }) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  /** @param {unknown} ok @param {string} [why] */
  const need = (ok, why = `${name} is not a whole archive`) => {
    if (!ok) throw new Kind(why, 'copy it again, as a whole')
  }
  /** @param {number} at */
  const large = (at) => {
    need(at + 8 <= bytes.length)
    const value = Number(view.getBigUint64(at, true))
    need(value <= 2 ** 40)
    return value
  }
  let end = bytes.length - 22
  const first = Math.max(0, end - 0xffff)
  const ends = (/** @type {number} */ at) =>
    view.getUint32(at, true) === END && at + 22 + view.getUint16(at + 20, true) === bytes.length
  while (end >= first && !ends(end)) end--
  need(end >= first)
  let count = view.getUint16(end + 10, true)
  let at = view.getUint32(end + 16, true)
  if ((count === 0xffff || at === OPEN) && end >= 20 && view.getUint32(end - 20, true) === LOCATOR64) {
    const wide = large(end - 12)
    need(wide + 56 <= bytes.length && view.getUint32(wide, true) === END64)
    count = large(wide + 32)
    at = large(wide + 48)
  }
  need(count <= most, `${name} has ${count} members, at most ${most} are read`)
  /** @type {Map<string, Member>} */
  const found = new Map()
  let total = 0
  while (found.size < count) {
    need(at + 46 <= bytes.length && view.getUint32(at, true) === CENTRAL)
    const flags = view.getUint16(at + 8, true)
    const method = view.getUint16(at + 10, true)
    const crc = view.getUint32(at + 16, true)
    let packed = view.getUint32(at + 20, true)
    let size = view.getUint32(at + 24, true)
    let local = view.getUint32(at + 42, true)
    const extra = at + 46 + view.getUint16(at + 28, true)
    const next = extra + view.getUint16(at + 30, true)
    need(next <= bytes.length)
    const member = latin(bytes.subarray(at + 46, extra))
    for (let field = extra; field + 4 <= next; field += 4 + view.getUint16(field + 2, true)) {
      if (view.getUint16(field, true) !== 1) continue
      let place = field + 4
      if (size === OPEN) [size, place] = [large(place), place + 8]
      if (packed === OPEN) [packed, place] = [large(place), place + 8]
      if (local === OPEN) local = large(place)
    }
    at = next + view.getUint16(at + 32, true)
    need(!found.has(member), `${name} has two members called ${shown(member)}`)
    need(!(flags & ENCRYPTED) && (method === STORED || (deflated && method === DEFLATED)),
      `${name}: ${shown(member)} is encrypted, or not ${deflated ? 'stored or deflated' : 'stored'}`)
    need((total += size) <= limit, `${name} is larger than the ${limit} bytes that are read`)
    need(local + 30 <= bytes.length && view.getUint32(local, true) === LOCAL)
    const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true)
    need(from + packed <= bytes.length && (method !== STORED || packed === size))
    found.set(member, { name: member, method, packed, size, crc, from, at: local })
  }
  return [...found.values()]
}

/** Bytes as characters, one each. @param {Uint8Array} bytes */
export const latin = (bytes) => bytes.reduce((text, byte) => text + String.fromCharCode(byte), '')

/**
 * The bytes of one member, of the size and with the checksum that the directory gives.
 * @param {Uint8Array} bytes @param {Member} member @param {string} name @param {Kind} Kind
 * @returns {Promise<Uint8Array>}
 */
export async function extract(bytes, member, name, Kind) {
  const raw = bytes.subarray(member.from, member.from + member.packed)
  const found = member.method === STORED ? raw : await inflate(raw, member.size)
  if (found?.length !== member.size || crc32(found) !== member.crc) {
    throw new Kind(`${name}: ${shown(member.name)} is damaged`, 'copy it again, as a whole')
  }
  return found
}

/** @param {Uint8Array} bytes @param {number} size @returns {Promise<Uint8Array | null>} */
async function inflate(bytes, size) {
  const found = new Uint8Array(size)
  let at = 0
  try {
    const blob = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)])
    const reader = blob.stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader()
    for (let part; !(part = await reader.read()).done; at += part.value.length) {
      if (at + part.value.length > size) return null // what inflates beyond is never taken
      found.set(part.value, at)
    }
  } catch {
    return null
  }
  return at === size ? found : null
}

/**
 * The bytes of an archive whose members are stored, dated 1 January 1980, by "version 2.0, Unix" with the
 * mode 0644: of a package's files in the order of their names it is `handful pack`'s, byte for byte.
 * @param {Iterable<[string, Uint8Array]>} members
 */
export function archive(members) {
  const parts = []
  const entries = []
  let at = 0
  for (const [name, body] of members) {
    const file = new TextEncoder().encode(name)
    const local = header(LOCAL, file, body, 0)
    entries.push(header(CENTRAL, file, body, at), file)
    parts.push(local, file, body)
    at += local.length + file.length + body.length
  }
  const end = new DataView(new ArrayBuffer(22))
  end.setUint32(0, END, true)
  end.setUint16(8, entries.length / 2, true)
  end.setUint16(10, entries.length / 2, true)
  end.setUint32(12, entries.reduce((sum, part) => sum + part.length, 0), true)
  end.setUint32(16, at, true)
  return concatenate([...parts, ...entries, new Uint8Array(end.buffer)])
}

/** @param {number} signature @param {Uint8Array} file @param {Uint8Array} body @param {number} at */
function header(signature, file, body, at) {
  const central = signature === CENTRAL
  const view = new DataView(new ArrayBuffer(central ? 46 : 30))
  const shift = central ? 2 : 0
  view.setUint32(0, signature, true)
  if (central) {
    view.setUint16(4, 0x0314, true)
    view.setUint32(38, 0x01a40000, true)
  }
  view.setUint16(4 + shift, 20, true)
  view.setUint16(12 + shift, 33, true) // 1 January 1980
  view.setUint32(14 + shift, crc32(body), true)
  view.setUint32(18 + shift, body.length, true)
  view.setUint32(22 + shift, body.length, true)
  view.setUint16(26 + shift, file.length, true)
  if (central) view.setUint32(42, at, true)
  return new Uint8Array(view.buffer)
}

/** @param {Uint8Array[]} parts */
export function concatenate(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

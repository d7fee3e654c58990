// Decoded pixels to the size and colours of a package, in integers: docs/package-format.md, "From a
// picture to an example". A canvas resizes by other rules, up to 120 levels of 255 away.
import { InputError } from '../errors.js'

/**
 * @typedef {import('../manifest.js').InputSpec} InputSpec
 * @typedef {{data: Uint8ClampedArray | Uint8Array, width: number, height: number}} Pixels an
 *   ImageData, or the like: RGBA or RGB of 8 bits, row after row
 * @typedef {[number, number]} Part from where to where, in new pixels
 */

export const MAX_PIXELS = 2 ** 25 // of a picture as decoded, and as resized
const BITS = 22 // of the weights behind the point
const [PAPER, MIDDLE] = [255, 127] // levels of what is padded: of drawings in ink, and of all else

/** @param {number} x */
const sinc = (x) => x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI)

/** @type {Record<string, [number, (x: number) => number]>} support and filter */
const FILTERS = {
  box: [0.5, (x) => x > -0.5 && x <= 0.5 ? 1 : 0],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => {
    const y = Math.abs(x)
    if (y < 1) return (1.5 * y - 2.5) * y * y + 1
    return y < 2 ? -0.5 * (((y - 5) * y + 8) * y - 4) : 0
  }],
  lanczos: [3, (x) => x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0],
}

/** Rows and columns of an example. @param {InputSpec} spec */
export const sides = ({ shape, layout }) => layout === 'HWC' ? [shape[0], shape[1]] : [shape[1], shape[2]]

/** Width and height of the whole picture, before it is cut or padded. @param {number} width @param {number} height @param {InputSpec} spec */
function newSize(width, height, spec) {
  if (spec.fit === 'square') {
    const least = Math.min(width, height)
    const side = (/** @type {number} */ n) =>
      Math.floor((2 * n * (spec.resize ?? least) + least) / (2 * least))
    return [side(width), side(height)]
  }
  const [rows, columns] = sides(spec)
  if (width * rows >= height * columns) {
    return [columns, Math.max(1, Math.floor((2 * height * columns + width) / (2 * width)))]
  }
  return [Math.max(1, Math.floor((2 * width * rows + height) / (2 * height))), rows]
}

/** @type {Map<string, [number, number[]][]>} a camera's frames have one size */
const cache = new Map()

/**
 * For each new pixel of a part the first old one, and the weights × 2²².
 * @param {number} count @param {number} wanted @param {Part} part @param {string} kind
 */
function weights(count, wanted, [begin, end], kind) {
  const key = [count, wanted, begin, end, kind].join()
  const known = cache.get(key)
  if (known) return known
  const [support, filter] = FILTERS[kind]
  const scale = count / wanted
  const wide = Math.max(scale, 1)
  /** @type {[number, number[]][]} */
  const lines = []
  for (let i = begin; i < end; i++) {
    const centre = (i + 0.5) * scale
    const first = Math.max(0, Math.floor(centre - support * wide + 0.5))
    const last = Math.min(count, Math.floor(centre + support * wide + 0.5))
    const raw = []
    for (let j = first; j < last; j++) raw.push(filter((j - centre + 0.5) * (1 / wide)))
    const total = raw.reduce((a, b) => a + b, 0)
    lines.push([first, raw.map((weight) => {
      const scaled = (total ? weight / total : weight) * 2 ** BITS
      return Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5))
    })])
  }
  if (cache.size >= 8) cache.delete(cache.keys().next().value ?? '')
  cache.set(key, lines)
  return lines
}

/**
 * One axis as `wanted` new pixels, of which a part is made; 8 bits in, 8 bits out.
 * @param {Uint8Array} pixels @param {{lines: number, count: number, step: number, between: number,
 *   channels: number}} axis `count` pixels along it lie `step` values apart, `lines` of them
 *   `between` values
 * @param {number} wanted @param {Part} part @param {string} kind
 * @param {(line: number, i: number) => number} place where a new pixel of a line is put
 */
function pass(pixels, { lines, count, step, between, channels }, wanted, part, kind, place) {
  const [first, last] = part
  const made = new Uint8Array(lines * (last - first) * channels)
  const table = count === wanted ? null : weights(count, wanted, part, kind)
  for (let line = 0; line < lines; line++) {
    for (let i = first; i < last; i++) {
      const [start, list] = table ? table[i - first] : [i, [2 ** BITS]]
      const from = line * between + start * step
      const to = place(line, i - first)
      for (let channel = 0; channel < channels; channel++) {
        let sum = 2 ** (BITS - 1)
        for (let j = 0; j < list.length; j++) sum += pixels[from + j * step + channel] * list[j]
        made[to + channel] = Math.max(0, Math.min(255, Math.floor(sum / 2 ** BITS)))
      }
    }
  }
  return made
}

/** In the package's colours, on white paper where it is transparent. @param {Pixels} pixels @param {number} channels */
function coloured({ data, width, height }, channels) {
  const count = width * height
  const samples = data.length / count
  const flat = new Uint8Array(count * channels)
  /** @param {number} level @param {number} opacity */
  const white = (level, opacity) =>
    opacity === 255 ? level : Math.floor((level * opacity + 255 * (255 - opacity) + 127) / 255)
  for (let i = 0; i < count; i++) {
    const at = i * samples
    const opacity = samples === 4 ? data[at + 3] : 255
    const r = white(data[at], opacity)
    const g = white(data[at + 1], opacity)
    const b = white(data[at + 2], opacity)
    if (channels === 1) flat[i] = (19595 * r + 38470 * g + 7471 * b + 2 ** 15) >> 16
    else flat.set([r, g, b], 3 * i)
  }
  return flat
}

/**
 * The levels of an example, uint8 in the package's layout, before `scale` and `offset`.
 * @param {Pixels} pixels
 * @param {InputSpec} spec
 * @param {string} what names it in errors
 */
export function pictureLevels(pixels, spec, what) {
  const { data, width, height } = pixels
  const samples = data.length / (width * height)
  if (samples !== 3 && samples !== 4) {
    throw new InputError(`${what} has ${data.length} values for ${width} × ${height} pixels`,
      'give an ImageData, or {data, width, height} of RGBA or RGB')
  }
  const [across, down] = newSize(width, height, spec)
  if (width * height > MAX_PIXELS || across * down > MAX_PIXELS) {
    throw new InputError(`${what} is ${width} × ${height}, too large, or too long and narrow`)
  }
  const channels = spec.colour === 'grey' ? 1 : 3
  const kind = spec.interpolation ?? 'lanczos'
  const [rows, columns] = sides(spec)
  const [left, top] = [Math.floor((across - columns) / 2), Math.floor((down - rows) / 2)]
  const [x0, x1] = [Math.max(left, 0), Math.min(left + columns, across)]
  const [y0, y1] = [Math.max(top, 0), Math.min(top + rows, down)]
  const kept = x1 - x0
  const rowsFirst = { lines: height, count: width, step: channels, between: width * channels, channels }
  const middle = pass(coloured(pixels, channels), rowsFirst, across, [x0, x1], kind,
    (y, i) => (y * kept + i) * channels)
  const columnsNext = {
    lines: kept, count: height, step: kept * channels, between: channels, channels,
  }
  const found = pass(middle, columnsNext, down, [y0, y1], kind, (x, i) => (i * kept + x) * channels)
  const levels = new Uint8Array(rows * columns * channels).fill(spec.invert ? PAPER : MIDDLE)
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      for (let channel = 0; channel < channels; channel++) {
        const [row, column] = [y - top, x - left]
        const to = spec.layout === 'HWC' ? (row * columns + column) * channels + channel
          : (channel * rows + row) * columns + column
        levels[to] = found[((y - y0) * kept + x - x0) * channels + channel]
      }
    }
  }
  return spec.invert ? levels.map((level) => 255 - level) : levels
}

/** Whether an example, as the graphs see it, is of one colour. @param {Float32Array} x @param {InputSpec} spec */
export function isBlank(x, spec) {
  const channels = spec.colour === 'grey' ? 1 : 3
  const count = x.length / channels
  const [step, apart] = spec.layout === 'HWC' ? [channels, 1] : [1, count]
  return Array.from({ length: channels }, (_, channel) => {
    let [sum, squares] = [0, 0]
    for (let i = 0; i < count; i++) sum += x[i * step + channel * apart]
    for (let i = 0; i < count; i++) squares += (x[i * step + channel * apart] - sum / count) ** 2
    return Math.sqrt(squares / count)
  }).every((deviation) => deviation < 0.005 * 255 * Math.abs(spec.scale))
}

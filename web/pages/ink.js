// Drawings as strokes: how they are drawn on a page, and the picture that a package sees.

/**
 * @typedef {[number, number]} Point from 0 to 1, to the right and downwards
 * @typedef {Point[]} Stroke
 * @typedef {Stroke[]} Strokes
 */

const SIDE = 105 // pixels of Omniglot's pictures, and about as wide a pen
const PEN = 1.6
const FILLED = 0.62 // of the side, by the larger extent of the ink

/**
 * A drawing as Omniglot's are, black on white, of one size and in the middle.
 * @param {Strokes} strokes
 * @returns {{data: Uint8ClampedArray, width: number, height: number}}
 */
export function toPicture(strokes) {
  const points = strokes.flat()
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)]
  const [left, top] = [Math.min(...xs), Math.min(...ys)]
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top]
  const scale = FILLED * SIDE / Math.max(width, height, 0.02)
  const place = (/** @type {Point} */ [x, y]) =>
    [SIDE / 2 + (x - left - width / 2) * scale, SIDE / 2 + (y - top - height / 2) * scale]
  const ink = new Float32Array(SIDE * SIDE)
  for (const stroke of strokes) {
    stroke.forEach((point, i) => line(ink, place(stroke[Math.max(0, i - 1)]), place(point)))
  }
  const data = new Uint8ClampedArray(3 * SIDE * SIDE)
  ink.forEach((share, i) => data.fill(255 - Math.round(255 * share), 3 * i, 3 * i + 3))
  return { data, width: SIDE, height: SIDE }
}

/** Inks what lies within the pen's width of a line. @param {Float32Array} ink @param {number[]} from @param {number[]} to */
function line(ink, [ax, ay], [bx, by]) {
  const [ux, uy] = [bx - ax, by - ay]
  const squared = ux * ux + uy * uy
  const reach = PEN + 1
  const inside = (/** @type {number} */ at) => Math.max(0, Math.min(SIDE - 1, Math.floor(at)))
  for (let y = inside(Math.min(ay, by) - reach); y <= inside(Math.max(ay, by) + reach); y++) {
    for (let x = inside(Math.min(ax, bx) - reach); x <= inside(Math.max(ax, bx) + reach); x++) {
      const along = squared ? Math.max(0, Math.min(1, ((x - ax) * ux + (y - ay) * uy) / squared)) : 0
      const away = Math.hypot(x - ax - along * ux, y - ay - along * uy)
      const at = y * SIDE + x
      ink[at] = Math.max(ink[at], Math.max(0, Math.min(1, PEN + 0.5 - away)))
    }
  }
}

/** Draws strokes on a canvas in its own colour. @param {HTMLCanvasElement} canvas @param {Strokes} strokes @param {Point | null} [cursor] of the keyboard's pen */
export function paint(canvas, strokes, cursor = null) {
  const context = canvas.getContext('2d')
  if (!context) return
  const side = canvas.width
  context.clearRect(0, 0, side, side)
  Object.assign(context, { lineWidth: Math.max(1.5, side / 34), lineCap: 'round', lineJoin: 'round' })
  context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color
  for (const stroke of strokes) {
    context.beginPath()
    stroke.forEach(([x, y], i) => i ? context.lineTo(x * side, y * side) : context.moveTo(x * side, y * side))
    if (stroke.length === 1) context.lineTo(stroke[0][0] * side + 0.1, stroke[0][1] * side)
    context.stroke()
  }
  if (!cursor) return
  const [x, y] = [cursor[0] * side, cursor[1] * side]
  context.lineWidth = 2
  context.beginPath()
  context.arc(x, y, side / 28, 0, 2 * Math.PI)
  context.stroke()
}

/** A box to draw in with a finger, a pen, a mouse, or the arrow keys and the space bar. */
export class Pad {
  /** @type {Strokes} */
  strokes = []
  /** @type {Point | null} */
  cursor = null
  #down = false
  #keyed = false

  /**
   * @param {string} name for who does not see it
   * @param {{began?: (keyed: boolean) => void, changed: () => void}} told before a stroke begins, and as it grows
   */
  constructor(name, { began = () => {}, changed }) {
    this.began = began
    this.changed = changed
    const canvas = this.canvas = document.createElement('canvas')
    Object.assign(canvas, { className: 'pad', width: 300, height: 300, tabIndex: 0 })
    canvas.setAttribute('role', 'application')
    canvas.setAttribute('aria-describedby', 'keys')
    this.name(name)
    canvas.addEventListener('pointerdown', (event) => this.#press(event))
    canvas.addEventListener('pointermove', (event) => this.#move(event))
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => this.#lift())
    canvas.addEventListener('keydown', (event) => this.#key(event))
    canvas.addEventListener('blur', () => {
      this.cursor = null
      this.#keyed = false
      this.draw()
    })
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw())
  }

  /** @param {string} name */
  name(name) {
    this.canvas.setAttribute('aria-label', `Drawing box for ${name}`)
  }

  /** @param {Strokes} strokes */
  show(strokes) {
    this.strokes = strokes
    this.draw()
  }

  draw() {
    paint(this.canvas, this.strokes, this.cursor)
  }

  /** @param {PointerEvent} event @returns {Point} */
  #at({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect()
    return [(clientX - left) / width, (clientY - top) / height]
  }

  #begin(keyed = false) {
    this.began(keyed)
    this.strokes = [...this.strokes, []]
  }

  /** @param {Point[]} points */
  #go(points) {
    const last = /** @type {Stroke} */ (this.strokes.at(-1))
    this.strokes = [...this.strokes.slice(0, -1), [...last, ...points]]
    this.draw()
    this.changed()
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button) return
    this.canvas.setPointerCapture(event.pointerId)
    this.#down = true
    this.cursor = null
    this.#begin()
    this.#go([this.#at(event)])
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.#down) return
    const events = event.getCoalescedEvents?.() ?? []
    this.#go((events.length ? events : [event]).map((one) => this.#at(one)))
  }

  #lift() {
    if (!this.#down) return
    this.#down = false
    this.changed()
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    /** @type {Record<string, Point>} */
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
    const way = ways[event.key]
    if (event.key === ' ') {
      this.#keyed = !this.#keyed
      this.cursor ??= [0.5, 0.5]
      if (this.#keyed) {
        this.#begin(true)
        this.#go([this.cursor])
      }
    } else if (way) {
      const by = event.shiftKey ? 0.02 : 0.06
      const [x, y] = this.cursor ?? [0.5, 0.5]
      const inside = (/** @type {number} */ at) => Math.max(0.03, Math.min(0.97, at))
      this.cursor = [inside(x + by * way[0]), inside(y + by * way[1])]
      if (this.#keyed) this.#go([this.cursor])
    } else return
    event.preventDefault()
    this.draw()
  }
}

/** @param {number} count @param {(i: number) => Point} at */
const curve = (count, at) => Array.from({ length: count }, (_, i) => at(i))

/** Signs of ours, for trying without a hand. @type {Record<string, Strokes>} */
export const SIGNS = {
  house: [[[0.12, 0.5], [0.5, 0.12], [0.88, 0.5]], [[0.22, 0.45], [0.22, 0.88], [0.78, 0.88], [0.78, 0.45]]],
  spiral: [curve(46, (i) => [0.5 + (0.04 + i * 0.0085) * Math.cos(i * 0.33), 0.5 + (0.04 + i * 0.0085) * Math.sin(i * 0.33)])],
  star: [[[0.5, 0.08], [0.76, 0.9], [0.08, 0.38], [0.92, 0.38], [0.24, 0.9], [0.5, 0.08]]],
  fish: [[[0.95, 0.25], [0.62, 0.6], [0.3, 0.7], [0.08, 0.5], [0.3, 0.32], [0.62, 0.42], [0.95, 0.78]]],
  wave: [curve(30, (i) => [0.05 + i * 0.031, 0.5 + 0.22 * Math.sin(i * 0.62)])],
}

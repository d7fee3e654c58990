// A person's examples played one after the other, as they come in, and what both classifiers say of each.
import { element, explain, find, percent } from './page.js'

/**
 * @typedef {import('./recordings.js').Asked} Asked
 * @typedef {import('./handful/browser.js').Answer} Answer
 */

const PLAYS = 1100 // milliseconds in which an example is played, and
const RESTS = 900 // after which the next one comes
const KEPT = 18 // in the strip
const WHO = /** @type {const} */ (['theirs', 'own'])

/** Plays examples on a canvas, and asks about each when it is over: `ask` gives both answers, or null. */
export class Player {
  #playing = 0 // which run of the button it is; 0 while it rests
  #runs = 0
  #at = -1
  /** @type {Asked[]} */
  #asked = []

  #shape = [1, 1] // of an example, [T, C]
  #who = ''

  /** @param {(x: Float32Array) => Promise<Answer[] | null>} ask */
  constructor(ask) {
    this.ask = ask
    this.canvas = /** @type {HTMLCanvasElement} */ (find('#signal'))
    find('#play').addEventListener('click', () => this.play(!this.#playing))
    find('#next').addEventListener('click', () => {
      this.play(false)
      this.step().catch(explain)
    })
  }

  /**
   * Another person's examples, in an order in which the classes take turns.
   * @param {Asked[]} asked @param {number[]} shape of an example, [T, C] @param {string} who
   */
  use(asked, shape, who) {
    const turn = new Map()
    const places = new Map(asked.map((one) => {
      turn.set(one.label, (turn.get(one.label) ?? 0) + 1)
      return [one, turn.get(one.label)]
    }))
    this.#asked = [...asked].sort((a, b) => places.get(a) - places.get(b))
    this.#shape = shape
    this.#who = who
    const first = this.#at < 0
    this.#at = -1
    find('#strip').replaceChildren()
    for (const name of ['#play', '#next']) find(name).toggleAttribute('disabled', false)
    if (first && !matchMedia('(prefers-reduced-motion: reduce)').matches) this.play(true)
    else this.step().catch(explain)
  }

  /** @param {boolean} on */
  async play(on) {
    const run = on ? ++this.#runs : 0
    this.#playing = run
    find('#play').textContent = on ? 'Pause' : 'Play'
    try {
      while (run && this.#playing === run) {
        await this.step(run)
        await new Promise((resolve) => setTimeout(resolve, RESTS))
      }
    } catch (error) {
      explain(error)
    }
  }

  /** The next example: drawn as it comes in where it plays, else at once. */
  async step(run = 0) {
    this.#at = (this.#at + 1) % this.#asked.length
    const one = this.#asked[this.#at]
    find('#truth').textContent = `${this.#who}: ${one.label}`
    for (const name of WHO) this.#write(name, null, one.label)
    if (run) await this.#draw(one.x, run)
    trace(this.canvas, one.x, this.#shape, 1)
    if (this.#asked[this.#at] === one) await this.again(true)
  }

  /** Asks about the example that is there; `played`: for the first time. */
  async again(played = false) {
    const one = this.#asked[this.#at]
    const answers = one && await this.ask(one.x)
    if (!answers || this.#asked[this.#at] !== one) return
    const says = WHO.map((name, i) => `${i ? 'adapted' : 'everybody’s'} says ${this.#write(name, answers[i], one.label)}`)
    const words = `${one.label}: ${says.join('; ')}`
    const entry = element('li', { title: words }, ...WHO.map((name, i) => {
      const right = answers[i].label === one.label
      return element('span', { className: `${name} ${right ? 'right' : 'wrong'}`, ariaHidden: 'true' }, right ? '✓' : '✗')
    }), element('span', { className: 'hidden' }, words))
    const strip = find('#strip')
    if (!played) strip.lastElementChild?.remove()
    strip.append(entry)
    while (strip.children.length > KEPT) strip.firstElementChild?.remove()
    if (!this.#playing) find('#aloud').textContent = words // while it plays nobody could listen
  }

  /** An answer with its mark; the same in words. @param {string} who @param {Answer | null} answer @param {string} truth */
  #write(who, answer, truth) {
    const place = find(`#says-${who}`)
    const right = answer?.label === truth
    place.className = !answer ? '' : right ? 'right' : 'wrong'
    place.textContent = answer ? `${right ? '✓' : '✗'} ${answer.label}, ${percent(answer.probability ?? 0)}` : '…'
    return answer ? `${answer.label}, ${right ? 'right' : 'wrong'}` : ''
  }

  /** Draws an example as it comes in. @param {Float32Array} x @param {number} run */
  #draw(x, run) {
    const began = performance.now()
    return new Promise((/** @type {(value: void) => void} */ resolve) => {
      const frame = () => {
        const share = (performance.now() - began) / PLAYS
        if (share >= 1 || this.#playing !== run) return resolve()
        trace(this.canvas, x, this.#shape, share)
        requestAnimationFrame(frame)
      }
      frame()
    })
  }
}

/**
 * Each channel's readings above its own line, one line above the other, up to a share of the time.
 * @param {HTMLCanvasElement} canvas @param {Float32Array} x @param {number[]} shape [T, C] @param {number} share
 */
function trace(canvas, x, [steps, channels], share) {
  const context = canvas.getContext('2d')
  if (!context) return
  const { width, height } = canvas
  const size = x.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6)
  const low = x.some((value) => value < 0) ? 0.5 : 0 // of its band, the line of a channel
  const band = height / (channels + 1) // the uppermost may reach into one more
  const shown = Math.floor(share * (steps - 1))
  context.clearRect(0, 0, width, height)
  context.fillStyle = context.strokeStyle = getComputedStyle(canvas).color
  context.lineWidth = 2
  context.lineJoin = 'round'
  for (let c = 0; c < channels; c++) {
    const line = (c + 2 - low) * band - 2
    const path = new Path2D()
    for (let k = 0; k <= shown; k++) path.lineTo(k / (steps - 1) * width, line - (1.9 - low) * band * x[k * channels + c] / size)
    context.stroke(path)
    path.lineTo(shown / (steps - 1) * width, line)
    path.lineTo(0, line)
    context.globalAlpha = 0.18
    context.fill(path)
    context.globalAlpha = 1
  }
}

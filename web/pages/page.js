// What every page has: the learner, its errors in words, answers as bars, files, and work in the background.
import { HandfulError, load } from './handful/browser.js'

/** @template {Element} T @param {string} selector @returns {T} */
export const find = (selector) => {
  const found = document.querySelector(selector)
  if (!found) throw new Error(`no ${selector} on this page`)
  return /** @type {T} */ (found)
}

/**
 * An element with attributes, listeners and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name @param {Record<string, any>} [how] @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, how = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(how)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value)
    else if (key in made) /** @type {any} */ (made)[key] = value
    else made.setAttribute(key, value)
  }
  made.append(...children)
  return made
}

/** @param {string} words @param {boolean} [wrong] */
export function say(words, wrong = false) {
  const status = find('#status')
  status.textContent = words
  status.classList.toggle('error', wrong)
}

/** An error in words, with what to do about it. @param {any} error */
export function explain(error) {
  const ours = error instanceof HandfulError
  if (!ours) console.error(error)
  say(`${error?.message ?? error}${ours && error.hint ? `; ${error.hint}` : ''}`, true)
}

/** What the server has: {files: {path: sha256}, packages: [{name, kind, colour, named, bytes}]}. */
export const site = async () => (await fetch('files.json')).json()

/**
 * The learner of a package of this site, while its progress is shown.
 * @param {string} name @param {string} [address]
 */
export async function learnerOf(name, address = `packages/${name}/`) {
  say(`Loading ${name} …`)
  const learner = await load(address, {
    runtime: 'ort/',
    progress: (share) => say(`Loading ${name} … ${percent(share)}`),
    warn: ({ message }) => say(message),
  })
  say(`${name} is ready. Nothing you do here leaves this page.`)
  return learner
}

/** The package that the address asks for, or the usual one. @param {string} usual */
export const wanted = (usual) => new URLSearchParams(location.search).get('package') ?? usual

/**
 * A function that is never run twice at once: of the calls that come meanwhile the last one is done.
 * @param {(...given: any[]) => Promise<void>} act
 */
export function latest(act) {
  let busy = false
  /** @type {any[] | null} */
  let next = null
  const run = async () => {
    busy = true
    while (next) {
      const given = next
      next = null
      try {
        await act(...given)
      } catch (error) {
        explain(error)
      }
    }
    busy = false
  }
  return (/** @type {any[]} */ ...given) => {
    next = given
    if (!busy) run()
  }
}

/** An answer in words and bars, said aloud once it rests. */
export class Answers {
  #timer = 0

  /** @param {string} idle what is said while there is no answer */
  constructor(idle) {
    this.idle = idle
    this.words = find('#answer')
    this.bars = find('#bars')
    this.aloud = find('#aloud')
    this.show([], null)
  }

  /** @param {string[]} classes @param {any} answer of `Task.predict`, or null */
  show(classes, answer) {
    const none = Boolean(answer) && answer.label === null
    this.words.textContent = answer ? answer.label ?? 'none of these' : this.idle
    this.words.className = `answer${none ? ' none' : ''}${answer ? '' : ' idle'}`
    this.bars.classList.toggle('none', none)
    while (this.bars.children.length > classes.length) this.bars.lastElementChild?.remove()
    while (this.bars.children.length < classes.length) {
      const fill = element('span', { className: 'fill' })
      this.bars.append(element('li', {}, element('span', { className: 'label' }),
        element('span', { className: 'track' }, fill), element('span', { className: 'share' })))
    }
    classes.forEach((label, i) => {
      const bar = this.bars.children[i]
      const share = answer?.probabilities.get(label) ?? 0
      bar.classList.toggle('best', answer?.label === label)
      const [name, track, shown] = bar.children
      name.textContent = label
      const fill = /** @type {HTMLElement} */ (track.firstElementChild)
      fill.style.transform = `scaleX(${none ? 0.15 * share : share})`
      // a probability never stands beside none of these: it would be of the classes alone
      shown.textContent = answer && !none ? percent(share) : ''
    })
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.aloud.textContent = !answer ? '' : none ? 'none of these'
        : `${answer.label}, ${Math.round(100 * answer.probability)} percent`
    }, 700)
  }
}

/** Gives the person a file. @param {Uint8Array} bytes @param {string} name */
export function download(bytes, name) {
  const href = URL.createObjectURL(new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]))
  element('a', { href, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(href), 10_000)
}

/** Milliseconds as a person reads them. @param {number} ms */
export const time = (ms) => ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`

/** A share as a person reads it. @param {number} share */
export const percent = (share) => `${Math.round(100 * share)} %`

/** Files are kept by their hash, so that the second visit needs no network. */
export function keepOffline() {
  const worker = navigator.serviceWorker
  if (worker) addEventListener('load', () => worker.register('service-worker.js').catch(() => {}))
}

/**
 * Classes of examples that a person gives, as cards: named, added, removed, undone, saved and opened.
 *
 * An example is whatever `describe` shows; examples that came with an opened task are only counted.
 */
export class Classes {
  #history = /** @type {any[]} */ ([])
  #last = 0

  /**
   * @param {{noun: string, least?: number, most?: number, first?: number, file: string,
   *   controls: (add: (example: any) => void, name: () => string) => Node[],
   *   describe: (example: any) => Node, adapted: (task: any) => void}} how
   */
  constructor(how) {
    this.how = { least: 2, most: 8, first: 3, ...how }
    /** @type {any} */
    this.learner = null
    /** @type {any} */
    this.task = null
    this.state = { opened: /** @type {any} */ (null), classes: Array.from({ length: this.how.first }, () => this.#fresh()) }
    this.adapt = latest(() => this.#adapt())
    find('#more').addEventListener('click', () => this.act({ classes: [...this.state.classes, this.#fresh()] }))
    find('#undo').addEventListener('click', () => {
      const before = this.#history.pop()
      if (before) this.#set(before)
    })
    find('#save').addEventListener('click', async () => {
      try {
        download(await this.task.save(), how.file)
      } catch (error) {
        explain(error)
      }
    })
    find('#open').addEventListener('change', ({ target }) => this.#open(/** @type {HTMLInputElement} */ (target)))
    this.#render()
  }

  /** @param {any} learner */
  use(learner) {
    this.learner = learner
    this.adapt()
  }

  /** @param {any} changes */
  act(changes) {
    this.#history.push(this.state)
    this.#set({ ...this.state, ...changes })
  }

  #fresh(name = '', given = 0) {
    const id = ++this.#last
    return { id, name: name || `${this.how.noun} ${id}`, examples: /** @type {any[]} */ ([]), given }
  }

  /** @param {any} state */
  #set(state) {
    this.state = state
    this.#render()
    this.adapt()
  }

  /** @param {any} one @param {any} changes */
  #alter(one, changes) {
    this.act({ classes: this.state.classes.map((other) => other.id === one.id ? { ...other, ...changes } : other) })
  }

  async #adapt() {
    const { learner, state } = this
    if (!learner) return
    const pairs = state.classes.filter(({ examples }) => examples.length)
      .map(({ name, examples }) => [name, examples])
    const began = performance.now()
    let task = null
    if (state.opened) task = pairs.length ? await state.opened.add(pairs) : state.opened
    else if (pairs.length >= this.how.least) task = await learner.adapt(pairs)
    this.task = task
    find('#save').toggleAttribute('disabled', !task)
    if (task) say(`Learned ${task.classes.length} ${this.how.noun}s in ${time(performance.now() - began)}.`)
    else say(`${learner.name} is ready: give examples of two ${this.how.noun}s at least.`)
    this.how.adapted(task)
  }

  /** @param {HTMLInputElement} input */
  async #open(input) {
    const [file] = input.files ?? []
    input.value = ''
    if (!file || !this.learner) return
    try {
      const opened = await this.learner.loadTask(file)
      this.act({ opened, classes: opened.classes.map((/** @type {string} */ name) => this.#fresh(name, opened.counts.get(name))) })
    } catch (error) {
      explain(error)
    }
  }

  #render() {
    const { noun, least, most, controls, describe } = this.how
    const { classes } = this.state
    const focused = document.activeElement?.id
    find('#cards').replaceChildren(...classes.map((one) => {
      const now = () => /** @type {any} */ (this.state.classes.find(({ id }) => id === one.id))
      const name = element('input', {
        type: 'text', id: `name-${one.id}`, maxLength: 40, autocomplete: 'off', value: one.name,
        'aria-label': `Name of the ${noun}`, readOnly: one.given > 0,
        onchange: () => this.#alter(now(), { name: this.#own(name.value.trim(), one) }),
      })
      const remove = element('button', {
        type: 'button', className: 'quiet', 'aria-label': `Remove ${one.name}`, disabled: classes.length <= least,
        onclick: () => this.#remove(now()),
      }, '×')
      const thumbs = element('div', { className: 'thumbs' },
        ...one.given ? [element('span', { className: 'soft' }, `${one.given} from the file`)] : [],
        ...one.examples.map((example, i) => element('button', {
          type: 'button', 'aria-label': `Remove example ${i + 1} of ${one.name}`,
          onclick: () => this.#alter(now(), { examples: now().examples.filter((/** @type {any} */ other) => other !== example) }),
        }, describe(example))))
      const add = (/** @type {any} */ example) => this.#alter(now(), { examples: [...now().examples, example] })
      return element('li', { className: 'card' }, element('div', { className: 'name' }, name, remove),
        ...controls(add, () => now().name), thumbs)
    }))
    if (focused) document.getElementById(focused)?.focus()
    find('#more').toggleAttribute('disabled', classes.length >= most)
    find('#undo').toggleAttribute('disabled', !this.#history.length)
  }

  /** A name that no other class has. @param {string} name @param {any} one */
  #own(name, one) {
    const others = this.state.classes.filter(({ id }) => id !== one.id).map((other) => other.name)
    let own = name || `${this.how.noun} ${one.id}`
    for (let i = 2; others.includes(own); i++) own = `${name} ${i}`
    return own
  }

  /** @param {any} one */
  async #remove(one) {
    try {
      const opened = one.given ? await this.state.opened.remove(one.name) : this.state.opened
      this.act({ opened, classes: this.state.classes.filter(({ id }) => id !== one.id) })
    } catch (error) {
      explain(error)
    }
  }
}

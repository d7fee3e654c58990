// Teach it your signs: boxes to draw in, a learner that adapts as they change, and answers meanwhile.
import { Pad, paint, SIGNS, toPicture } from './ink.js'
import { Answers, download, element, explain, find, keepOffline, latest, learnerOf, say, time, wanted } from './page.js'

/**
 * @typedef {import('./ink.js').Strokes} Strokes
 * @typedef {{id: number, name: string, kept: Strokes[], pad: Strokes, given: number}} Sign `kept` are
 *   drawings beside the one in its box; `given` examples came with a task that was opened
 * @typedef {{signs: Sign[], ask: Strokes, opened: any}} State never changed: an action makes another
 */

const [LEAST, MOST, FIRST] = [2, 8, 3]
const USUAL = 'omniglot-leo'
const PAUSE = 2500 // milliseconds after which a stroke begins another question
const SEEN = 3 // points of a drawing before it is asked about

let last = 0
/** @param {string} name @param {number} [given] @returns {Sign} */
const fresh = (name, given = 0) => ({ id: ++last, name, kept: [], pad: [], given })

/** @type {State} */
let state = { signs: Array.from({ length: FIRST }, (_, i) => fresh(`sign ${i + 1}`)), ask: [], opened: null }
/** @type {State[]} */
const history = []
/** @type {Map<number, {pad: Pad, card: HTMLElement, name: HTMLInputElement, thumbs: HTMLElement, keep: HTMLButtonElement}>} */
const shown = new Map()
/** @type {any} the learner, and the task as it is now */
let learner = null
/** @type {any} */
let task = null

const answers = new Answers('draw here once two signs are drawn')
/** What may be asked now, for the tests. */
export const measured = { ready: 0, adapted: /** @type {number[]} */ ([]), answered: /** @type {number[]} */ ([]) }

/** @param {Partial<State>} changes */
function act(changes) {
  remember()
  set({ ...state, ...changes })
}

function remember() {
  history.push(state)
  if (history.length > 200) history.shift()
}

/** @param {State} next */
function set(next) {
  const taught = next.signs !== state.signs || next.opened !== state.opened
  state = next
  render()
  if (taught) adapt()
  else ask()
}

/** @param {number} id @param {Partial<Sign>} changes */
const altered = (id, changes) =>
  state.signs.map((sign) => sign.id === id ? { ...sign, ...changes } : sign)

/** @param {Sign} sign */
const drawingsOf = (sign) => [...sign.kept, ...inked(sign.pad) ? [sign.pad] : []]
/** @param {Strokes} strokes */
const inked = (strokes) => strokes.flat().length >= SEEN

/** @type {WeakMap<Strokes, any>} a drawing never changes, and what a package sees of it neither */
const pictures = new WeakMap()

/** @param {Strokes} strokes */
function pictureOf(strokes) {
  const picture = pictures.get(strokes) ?? toPicture(strokes)
  pictures.set(strokes, picture)
  return picture
}

/** Labels that are given: two of one name, or none, would not be told apart. */
function names() {
  const used = new Map()
  return new Map(state.signs.map((sign, i) => {
    const name = sign.name.trim() || `sign ${i + 1}`
    const count = (used.get(name) ?? 0) + 1
    used.set(name, count)
    return [sign.id, count > 1 ? `${name} ${count}` : name]
  }))
}

const adapt = latest(async () => {
  if (!learner) return
  const labels = names()
  const pairs = state.signs.map((sign) => [labels.get(sign.id), drawingsOf(sign).map(pictureOf)])
    .filter(([, drawings]) => /** @type {any[]} */ (drawings).length)
  const began = performance.now()
  let next = null
  if (state.opened) next = pairs.length ? await state.opened.add(pairs) : state.opened
  else if (pairs.length >= LEAST) next = await learner.adapt(pairs)
  task = next
  if (next && !state.opened) {
    measured.adapted.push(performance.now() - began)
    const count = [...next.counts.values()].reduce((a, b) => a + b, 0)
    say(`Learned ${next.classes.length} signs from ${count} drawings in ${time(performance.now() - began)}.`)
  } else if (!next) say(`${learner.name} is ready: draw in two boxes at least.`)
  find('#save').toggleAttribute('disabled', !task)
  ask()
})

const ask = latest(async () => {
  const own = task
  if (!own || !inked(state.ask)) {
    answers.show(own?.classes ?? [], null)
    mark(null)
    return
  }
  const rate = Number(find('#unknown').value)
  const began = performance.now()
  const answer = await own.predict(pictureOf(state.ask), rate ? { unknown: rate } : {})
  measured.answered.push(performance.now() - began)
  answers.show(own.classes, answer)
  mark(answer.label)
})

/** @param {string | null} label */
function mark(label) {
  const labels = names()
  for (const [id, { card }] of shown) card.classList.toggle('best', labels.get(id) === label)
}

function render() {
  const cards = find('#cards')
  for (const [id, { card }] of shown) {
    if (state.signs.some((sign) => sign.id === id)) continue
    card.remove()
    shown.delete(id)
  }
  state.signs.forEach((sign, i) => {
    if (!shown.has(sign.id)) makeCard(sign)
    const own = /** @type {any} */ (shown.get(sign.id))
    if (cards.children[i] !== own.card) cards.insertBefore(own.card, cards.children[i] ?? null)
    const name = sign.name.trim() || `sign ${i + 1}`
    if (own.name.value !== sign.name) own.name.value = sign.name
    own.name.placeholder = `sign ${i + 1}`
    own.pad.name(name)
    if (own.pad.strokes !== sign.pad) own.pad.show(sign.pad)
    own.keep.disabled = !inked(sign.pad)
    thumbnails(own.thumbs, sign, name)
    own.card.querySelector('.remove').setAttribute('aria-label', `Remove ${name}`)
    own.card.querySelector('.wipe').setAttribute('aria-label', `Clear the box of ${name}`)
    own.keep.setAttribute('aria-label', `Keep this drawing of ${name} and draw another`)
    own.card.querySelector('.remove').disabled = state.signs.length <= LEAST
  })
  if (question.strokes !== state.ask) question.show(state.ask)
  find('#more').toggleAttribute('disabled', state.signs.length >= MOST)
  find('#undo').toggleAttribute('disabled', !history.length)
}

/** @param {HTMLElement} place @param {Sign} sign @param {string} name */
function thumbnails(place, sign, name) {
  const key = `${sign.given}/${sign.kept.length}/${name}`
  const known = /** @type {any} */ (place).known
  if (known?.key === key && known.kept === sign.kept) return
  Object.assign(place, { known: { key, kept: sign.kept } })
  place.replaceChildren(...sign.given ? [element('span', { className: 'soft' }, `${sign.given} from the file`)] : [],
    ...sign.kept.map((strokes, i) => {
      const canvas = element('canvas', { width: 76, height: 76 })
      const button = element('button', {
        type: 'button', 'aria-label': `Remove drawing ${i + 1} of ${name}`,
        onclick: () => act({ signs: altered(sign.id, { kept: sign.kept.filter((other) => other !== strokes) }) }),
      }, canvas)
      requestAnimationFrame(() => paint(canvas, strokes))
      return button
    }))
}

/** @param {Sign} sign */
function makeCard({ id }) {
  const now = () => /** @type {Sign} */ (state.signs.find((sign) => sign.id === id))
  const pad = new Pad('a sign', {
    began: remember,
    changed: () => set({ ...state, signs: altered(id, { pad: pad.strokes }) }),
  })
  const name = element('input', {
    type: 'text', maxLength: 40, autocomplete: 'off', 'aria-label': 'Name of the sign',
    onfocus: () => name.select(),
    onchange: () => rename(now(), name.value),
  })
  const remove = element('button', {
    type: 'button', className: 'quiet remove', onclick: () => removeSign(now()),
  }, '×')
  const keep = element('button', {
    type: 'button',
    onclick: () => act({ signs: altered(id, { kept: [...now().kept, now().pad], pad: [] }) }),
  }, 'Another')
  const wipe = element('button', {
    type: 'button', className: 'quiet wipe', onclick: () => act({ signs: altered(id, { pad: [] }) }),
  }, 'Clear')
  const thumbs = element('div', { className: 'thumbs' })
  const card = element('li', { className: 'card' }, element('div', { className: 'name' }, name, remove),
    pad.canvas, element('div', { className: 'row' }, keep, wipe), thumbs)
  shown.set(id, { pad, card, name, thumbs, keep })
}

/** @param {Sign} sign @param {string} name */
function rename(sign, name) {
  if (sign.given) { // the file's examples have its label
    shown.get(sign.id)?.name && (/** @type {any} */ (shown.get(sign.id)).name.value = sign.name)
    return say('A sign of an opened task keeps its name.')
  }
  act({ signs: altered(sign.id, { name }) })
}

/** @param {Sign} sign */
async function removeSign(sign) {
  try {
    const opened = sign.given ? await state.opened.remove(sign.name) : state.opened
    act({ signs: state.signs.filter(({ id }) => id !== sign.id), opened })
  } catch (error) {
    explain(error)
  }
}

const question = new Pad('the question', {
  began: (keyed) => {
    remember()
    // after a pause another drawing begins; by keyboard every stroke takes longer than that
    if (!keyed && performance.now() - rested > PAUSE) question.strokes = []
  },
  changed: () => {
    rested = performance.now()
    set({ ...state, ask: question.strokes })
  },
})
let rested = 0

find('#question').append(question.canvas)
find('#clear').addEventListener('click', () => act({ ask: [] }))
find('#more').addEventListener('click', () => {
  act({ signs: [...state.signs, fresh(`sign ${state.signs.length + 1}`)] })
  shown.get(/** @type {Sign} */ (state.signs.at(-1)).id)?.name.focus()
})
find('#undo').addEventListener('click', () => {
  const before = history.pop()
  if (before) set(before)
})
find('#ours').addEventListener('click', () => {
  const ours = Object.entries(SIGNS).slice(0, 4)
  act({ signs: ours.map(([name, strokes]) => ({ ...fresh(name), pad: strokes })), opened: null, ask: SIGNS.wave })
})
find('#unknown').addEventListener('change', () => ask())
find('#save').addEventListener('click', async () => {
  try {
    download(await task.save(), 'signs.npz')
    say('Saved as signs.npz: handful predict, load_task in Python, or Open here.')
  } catch (error) {
    explain(error)
  }
})
find('#open').addEventListener('change', async ({ target }) => {
  const input = /** @type {HTMLInputElement} */ (target)
  const [file] = input.files ?? []
  input.value = ''
  if (!file) return
  try {
    const opened = await learner.loadTask(file)
    act({ opened, signs: opened.classes.map((/** @type {string} */ name) => fresh(name, opened.counts.get(name))), ask: [] })
    say(`Opened ${file.name}: ${opened.classes.length} signs.`)
  } catch (error) {
    explain(error)
  }
})

render()
keepOffline()
try {
  learner = await learnerOf(wanted(USUAL))
  if (learner.input.kind !== 'image' || learner.manifest.task !== 'classification') {
    throw new Error(`${learner.name} takes no pictures of signs: omniglot-leo does`)
  }
  const rates = learner.manifest.confidence[0]?.thresholds ?? []
  for (const { false_accepts: rate } of rates) {
    if (![0.01, 0.05, 0.1, 0.2].includes(rate)) continue
    find('#unknown').append(element('option', { value: rate, selected: rate === 0.05 }, `${100 * rate} % pass`))
  }
  measured.ready = performance.now()
  adapt()
} catch (error) {
  explain(error)
}

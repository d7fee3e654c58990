// What adapting gains: everybody's classifier beside one adapted to a person, over the number of examples.
import { drawGain } from './gain-chart.js'
import { Player } from './gain-live.js'
import { element, explain, find, keepOffline, latest, learnerOf, percent, say, site, time, wanted } from './page.js'
import { readPerson } from './recordings.js'

/**
 * @typedef {import('./recordings.js').Person} Person
 * @typedef {import('./handful/browser.js').Learner} Learner
 * @typedef {import('./handful/browser.js').Task} Task
 * @typedef {{task: Task, answers: (string | null)[], right: number}} Result with a number of examples
 */

const MADE_UP = 'bands-personal' // whose recordings are on this site, in the folder bands
const PERSONS = Array.from({ length: 6 }, (_, i) => `person ${80 + i}`) // nobody was trained on them
const MOST = 5 // examples of each class

const count = /** @type {HTMLInputElement} */ (find('#count'))
const choice = /** @type {HTMLSelectElement} */ (find('#package'))
const who = /** @type {HTMLSelectElement} */ (find('#person'))
const shot = () => Number(count.value)

/** @type {Learner | null} */
let learner = null
/** @type {Person | null} */
let person = null
/** @type {(Result | undefined)[]} by the number of examples of each class */
let results = []

/** @param {Float32Array} x */
async function ask(x) {
  const [everybody, adapted] = [results[0], results[shot()]]
  return everybody && adapted ? Promise.all([everybody.task.predict(x), adapted.task.predict(x)]) : null
}

const player = new Player(ask)

/**
 * The classifier adapted to so many examples of each class, and what it answers to all that is asked.
 * @param {Learner} from @param {Person} own @param {number} n @returns {Promise<Result>}
 */
async function measure(from, own, n) {
  const began = performance.now()
  const pairs = Array.from(own.given, ([label, examples]) => [label, examples.slice(0, n)])
  const task = n ? await from.adapt(pairs) : await from.start()
  const took = performance.now() - began
  const answers = (await task.predict(own.asked.map(({ x }) => x))).map((/** @type {any} */ answer) => answer.label)
  if (n && n === shot()) say(`Adapted to ${n} of each class in ${time(took)}.`)
  return { task, answers, right: own.asked.filter(({ label }, i) => label === answers[i]).length }
}

/** Every number of examples: none, what the slider says, the others. */
const measureAll = latest(async () => {
  const [own, from] = [person, learner]
  if (!own || !from) return
  const numbers = new Set([0, shot(), ...Array.from({ length: Number(count.max) + 1 }, (_, n) => n)])
  for (const n of numbers) {
    const result = await measure(from, own, n)
    if (own !== person) return // another one was chosen meanwhile
    results[n] = result
    show()
    if (n === shot()) player.use(own.asked, from.input.shape, own.name)
  }
})

/** Scores, chart and table for the number that the slider shows. */
function show() {
  find('#shown').textContent = count.value
  count.setAttribute('aria-valuetext', `${count.value} of each class`)
  const [everybody, adapted] = [results[0], results[shot()]]
  const asked = person?.asked ?? []
  const share = (/** @type {Result | undefined} */ result) => result && result.right / asked.length
  find('#everybody').textContent = everybody ? percent(share(everybody) ?? 0) : '…'
  find('#adapted').textContent = adapted ? percent(share(adapted) ?? 0) : '…'
  drawGain(find('#chart'), Array.from({ length: Number(count.max) + 1 }, (_, n) => share(results[n])), shot())
  find('#classes').replaceChildren(...(learner?.classes ?? []).map((label) => {
    const own = asked.flatMap((one, i) => one.label === label ? [i] : [])
    return element('tr', {}, element('th', { scope: 'row' }, label),
      cell('theirs', everybody, label, own), cell('own', adapted, label, own))
  }))
}

/** How many of a class a result has right. @param {string} name @param {Result | undefined} result @param {string} label @param {number[]} own */
function cell(name, result, label, own) {
  const right = own.filter((i) => result?.answers[i] === label).length
  const fill = element('span', { className: 'fill' })
  fill.style.transform = `scaleX(${own.length ? right / own.length : 0})`
  return element('td', { className: name }, element('span', { className: 'track' }, fill),
    element('span', { className: 'share' }, !result ? '' : own.length ? `${right} of ${own.length}` : 'none'))
}

/** What was measured when the package was made, beside the best that needs no meta-training. @param {Learner} from */
function measured({ manifest: { evaluation } }) {
  const whole = evaluation.filter(({ given, accuracy }) => given === null && accuracy !== null)
  const last = whole.at(-1)
  if (!last) return ''
  const right = whole.map(({ shot, accuracy, interval }) => `${tenths(accuracy)} ± ${tenths(interval)} % with ${shot}`)
  const best = last.compared.reduce((/** @type {any} */ a, /** @type {any} */ b) => b.accuracy > (a?.accuracy ?? 0) ? b : a, null)
  return `Measured on ${last.persons} persons whom it was not trained on: ${right.join(', ')} of each class.`
    + (best ? ` The best of what it has to beat, ${best.name}, has ${tenths(best.accuracy)} % with ${last.shot};`
      + ` the package is ${tenths(best.difference).replace('-', '−')} ± ${tenths(best.interval)} above it.` : '')
}

/** @param {number} share */
const tenths = (share) => (100 * share).toFixed(1)

/** Takes a person's recordings. @param {any[]} files @param {string} name */
async function take(files, name) {
  if (!learner || !files.length) return
  try {
    say(`Reading ${name} …`)
    person = await readPerson(files, name, learner.classes, learner.input)
    results = []
    count.max = String(Math.min(MOST, Math.max(...Array.from(person.given.values(), (list) => list.length))))
    count.disabled = false
    show()
    measureAll()
  } catch (error) {
    explain(error)
  }
}

/** A made-up person, whose file is on this site. @param {string} name */
async function takeOurs(name) {
  person = null
  results = []
  show() // nothing of the person before stands beside this one's name
  const file = `bands/${name.replace(' ', '-')}.csv`
  const text = await (await fetch(file)).text()
  if (who.value === name) await take([new File([text], file)], name)
}

/** @param {string} name */
async function use(name) {
  learner?.dispose()
  learner = person = null
  count.disabled = true
  const ours = name === MADE_UP
  find('#persons').hidden = !ours
  find('#ours').hidden = !ours
  learner = await learnerOf(name, ours ? `bands/${name}.handful` : undefined)
  find('#measured').textContent = measured(learner)
  document.querySelectorAll('.file input').forEach((input) => input.toggleAttribute('disabled', false))
  if (ours) await takeOurs(who.value)
  else say(`${name} is ready: open recordings of somebody who does ${learner.classes.join(', ')}.`)
}

count.addEventListener('input', () => {
  show()
  player.again().catch(explain)
})
who.addEventListener('change', () => takeOurs(who.value).catch(explain))
choice.addEventListener('change', () => use(choice.value).catch(explain))
for (const id of ['#files', '#folder']) {
  find(id).addEventListener('change', ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target)
    const files = Array.from(input.files ?? []).filter(({ name }) => name.endsWith('.csv'))
    input.value = ''
    take(files, files.length > 1 ? `${files.length} files` : files[0]?.name ?? '')
  })
}

keepOffline()
try {
  const { packages } = await site()
  const named = packages.filter((/** @type {any} */ one) => one.named && one.kind === 'array')
  const names = [...new Set([MADE_UP, ...named.map((/** @type {any} */ one) => one.name)])]
  const asked = wanted(MADE_UP)
  choice.append(...names.map((name) => element('option', { value: name, selected: name === asked }, name)))
  who.append(...PERSONS.map((name) => element('option', { value: name }, name)))
  await use(names.includes(asked) ? asked : MADE_UP)
} catch (error) {
  explain(error)
}

// Recordings of one person from .csv files, as examples to adapt to and others to ask about.
//
// A file has a row for each reading. Either its columns `label` and `recording` say what each row is of,
// or the whole file is one recording of the class that its folder is called by. A column `time` counts
// seconds; the others are the package's channels, by their names or in their order.
import { InputError } from './handful/browser.js'
import { recordingExamples } from './handful/inputs/series.js'

/**
 * @typedef {import('./handful/manifest.js').InputSpec} InputSpec
 * @typedef {{label: string, x: Float32Array}} Asked an example [T, C] and its class
 * @typedef {{given: Map<string, Float32Array[]>, asked: Asked[], name: string}} Person `given` may be adapted
 *   to, each class's examples from its recordings in turn; `asked` never are
 * @typedef {{label: string, recording: string, rows: number[][], times: number[]}} Recording
 * @typedef {{label: number, recording: number, time: number, channels: number[]}} Layout columns of a file
 */

const OWN = ['label', 'recording', 'time']
const MOST = 2 ** 24 // characters of a file: some minutes of signals
const SLICE = 400 // lines read before the page may do something else

/** @param {any} file a File, of which a folder's has a path, or {name, text} */
const folderOf = (file) => (file.webkitRelativePath ?? '').split('/').at(-2) ?? ''

/**
 * What is in the files of one person, for a package with these classes.
 * @param {any[]} files @param {string} name of the person @param {string[]} classes @param {InputSpec} spec
 * @returns {Promise<Person>}
 */
export async function readPerson(files, name, classes, spec) {
  /** @type {Recording[]} */
  const found = []
  for (const file of files) {
    if (file.name.startsWith('.')) continue
    if (file.size > MOST) throw new InputError(`${file.name} has ${file.size} bytes, at most ${MOST} are read`, 'cut it into several files')
    found.push(...await readFile(await file.text(), file.name, folderOf(file), classes, spec))
  }
  return divide(found, name, classes, spec)
}

/** @param {string} text @param {string} name @param {string} folder @param {string[]} classes @param {InputSpec} spec */
async function readFile(text, name, folder, classes, spec) {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n|\r/)
  const mark = [';', '\t', ','].find((one) => lines[0].includes(one)) ?? ','
  const cells = (/** @type {string} */ line) => line.split(mark).map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
  const layout = layoutOf(cells(lines[0]), name, spec)
  const first = Number.isNaN(Number(cells(lines[0])[layout.channels[0]])) ? 1 : 0
  if (layout.label < 0 && !classes.includes(folder)) {
    throw new InputError(`${name} does not say which class it is of`,
      `a column called label, or a folder called as one of ${classes.join(', ')}`)
  }
  /** @type {Recording[]} */
  const found = []
  for (let i = first; i < lines.length; i++) {
    if (i % SLICE === SLICE - 1) await new Promise((resolve) => setTimeout(resolve))
    if (!lines[i].trim()) continue
    const row = cells(lines[i])
    const label = layout.label < 0 ? folder : row[layout.label] ?? ''
    const recording = layout.recording < 0 ? `${name}${layout.label < 0 ? '' : ` ${label}`}` : row[layout.recording] ?? ''
    if (!classes.includes(label)) {
      throw new InputError(`line ${i + 1} of ${name} is labelled ${JSON.stringify(label)}`, `the classes are ${classes.join(', ')}`)
    }
    const reading = layout.channels.map((column) => number(row[column], i, name))
    const last = found.at(-1)
    const goes = last?.label === label && last.recording === recording
    const own = goes && last ? last : { label, recording, rows: [], times: [] }
    if (!goes) found.push(own)
    own.rows.push(reading)
    if (layout.time >= 0) own.times.push(number(row[layout.time], i, name))
  }
  return found
}

/** Which columns are what. @param {string[]} head @param {string} name @param {InputSpec} spec @returns {Layout} */
function layoutOf(head, name, spec) {
  const names = head.map((cell) => cell.toLowerCase())
  const [label, recording, time] = OWN.map((one) => names.indexOf(one))
  const named = spec.channels?.map((channel) => head.indexOf(channel.name)) ?? [-1]
  const rest = head.map((_, i) => i).filter((i) => ![label, recording, time].includes(i))
  const channels = named.includes(-1) ? rest : named
  if (channels.length !== spec.shape[1]) {
    const wanted = spec.channels?.map((channel) => channel.name).join(', ')
    throw new InputError(`${name} has ${channels.length} columns of readings, wanted ${spec.shape[1]}`,
      wanted && `they are ${wanted}`)
  }
  return { label, recording, time, channels }
}

/** @param {string | undefined} cell @param {number} i @param {string} name */
function number(cell, i, name) {
  const value = cell ? Number(cell.replace(',', '.')) : NaN
  if (!Number.isFinite(value)) throw new InputError(`line ${i + 1} of ${name} has ${JSON.stringify(cell ?? '')} where a number belongs`)
  return value
}

/**
 * Half of each class's recordings to adapt to, the others to ask about.
 * @param {Recording[]} recordings @param {string} name @param {string[]} classes @param {InputSpec} spec
 * @returns {Person}
 */
function divide(recordings, name, classes, spec) {
  /** @type {Map<string, boolean>} of a recording's name, whether it is adapted to */
  const sides = new Map()
  /** @type {Person} */
  const person = { given: new Map(), asked: [], name }
  for (const label of classes) {
    /** @type {Map<string, Recording[]>} */
    const own = new Map()
    for (const one of recordings) {
      if (one.label === label) own.set(one.recording, [...own.get(one.recording) ?? [], one])
    }
    const most = Math.ceil(own.size / 2)
    let count = [...own.keys()].filter((one) => sides.get(one)).length
    // a recording that has several classes is on one side with all of them
    for (const one of own.keys()) if (!sides.has(one)) sides.set(one, count++ < most)
    const [given, asked] = [true, false].map((side) => Array.from(own, ([one, parts]) =>
      sides.get(one) === side ? parts.flatMap((part) => examplesOf(part, spec)) : []))
    if (own.size && (!given.flat().length || !asked.flat().length)) {
      throw new InputError(`${label} is in ${own.size} recording${own.size > 1 ? 's' : ''} alone`,
        'two at least: one to adapt to, and one to ask about')
    }
    const longest = Math.max(0, ...given.map((list) => list.length))
    const turns = Array.from({ length: longest }, (_, i) => given.map((list) => list[i])).flat().filter(Boolean)
    if (turns.length) person.given.set(label, turns)
    person.asked.push(...asked.flat().map((x) => ({ label, x })))
  }
  if (!person.asked.length) throw new InputError('the files hold no readings')
  return person
}

/** Examples [T, C] that do not overlap. @param {Recording} recording @param {InputSpec} spec */
function examplesOf({ label, recording, rows, times }, spec) {
  const readings = { data: Float64Array.from(rows.flat()), shape: [rows.length, spec.shape[1]] }
  return recordingExamples(readings, spec, `${recording} of ${label}`, { times: times.length ? times : null, hop: spec.shape[0] })
}

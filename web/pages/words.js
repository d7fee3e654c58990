// Teach it your words: recorded or from files, a meter, silence and clipping refused, and a window heard.
import { listen, openMicrophone } from './handful/browser.js'
import { Answers, Classes, element, explain, find, keepOffline, learnerOf, percent, say, wanted } from './page.js'

const USUAL = 'keywords-proto-maml'
const SECONDS = 1.6 // of a recording: a word, said when one is ready
const [QUIET, LOUD] = [0.01, 0.985] // root mean square of the loudest tenth of a second; a sample
const UNKNOWN = 0.05

const meter = find('#meter')
const bar = /** @type {HTMLElement} */ (meter.firstElementChild)
const wave = find('#wave')
const answers = new Answers('record two words at least, then listen')
/** @type {any} */
let hearing = null
/** @type {any} */
let task = null
/** @type {Float32Array[]} */
let recent = []

/** @param {Float32Array} block */
const level = (block) => Math.sqrt(block.reduce((sum, x) => sum + x * x, 0) / block.length)

/** @param {Float32Array} block */
function show(block) {
  bar.style.transform = `scaleX(${Math.min(1, 4 * level(block))})`
  meter.classList.toggle('loud', block.some((x) => Math.abs(x) > LOUD))
}

/** A second of sound as a line. @param {HTMLCanvasElement} canvas @param {Float32Array} samples */
function draw(canvas, samples) {
  const context = canvas.getContext('2d')
  if (!context) return
  const { width, height } = canvas
  context.clearRect(0, 0, width, height)
  context.fillStyle = getComputedStyle(meter.firstElementChild ?? canvas).backgroundColor
  const step = samples.length / width
  for (let x = 0; x < width; x++) {
    let [low, high] = [0, 0]
    for (let i = Math.floor(x * step); i < (x + 1) * step; i += 4) {
      low = Math.min(low, samples[i] ?? 0)
      high = Math.max(high, samples[i] ?? 0)
    }
    context.fillRect(x, height / 2 * (1 - high), 1, Math.max(1, height / 2 * (high - low)))
  }
}

/** @param {Float32Array[]} blocks */
function joined(blocks) {
  const samples = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0))
  blocks.reduce((at, block) => {
    samples.set(block, at)
    return at + block.length
  }, 0)
  return samples
}

/** What is wrong with a recording, or nothing. @param {Float32Array[]} blocks */
function fault(blocks) {
  if (blocks.some((block) => block.some((x) => Math.abs(x) > LOUD))) return 'too loud, it is clipped: from further away'
  if (Math.max(...blocks.map(level)) < QUIET) return 'nothing was heard: louder, or look at the microphone'
  return ''
}

/** Records a word. @param {HTMLButtonElement} button @returns {Promise<any>} */
async function record(button) {
  const words = button.textContent
  button.disabled = true
  /** @type {Float32Array[]} */
  const blocks = []
  const microphone = await openMicrophone((block) => {
    blocks.push(block)
    show(block)
  })
  button.textContent = 'Say it …'
  await new Promise((resolve) => setTimeout(resolve, 1000 * SECONDS))
  await microphone.close()
  button.textContent = words
  button.disabled = false
  const wrong = fault(blocks)
  if (wrong) throw new Error(`That was ${wrong}.`)
  return { samples: joined(blocks), rate: microphone.rate }
}

const classes = new Classes({
  noun: 'word',
  file: 'words.npz',
  controls: (add, name) => {
    const button = element('button', {
      type: 'button', className: 'main',
      onclick: async () => {
        try {
          if (hearing) await stop()
          add(await record(button))
        } catch (error) {
          explain(error)
        }
      },
    }, 'Record')
    button.setAttribute('aria-label', `Record ${name()}`)
    const file = element('input', {
      type: 'file', accept: 'audio/*,.wav', multiple: true,
      onchange: () => Array.from(file.files ?? []).forEach((one) => add(one)),
    })
    return [element('div', { className: 'row' }, button, element('label', { className: 'file' }, 'Files', file))]
  },
  describe: (example) => {
    if (example instanceof Blob) return element('span', { title: /** @type {File} */ (example).name }, '♪')
    const canvas = element('canvas', { width: 76, height: 76 })
    draw(canvas, example.samples)
    return canvas
  },
  adapted: (found) => {
    task = found
    find('#listen').toggleAttribute('disabled', !task)
    answers.show(task?.classes ?? [], null)
    if (hearing) stop().catch(explain)
  },
})

/** @param {any} answer @param {string} when */
function note(answer, when) {
  answers.show(task?.classes ?? [], answer)
  const words = answer.label === null ? 'none of these' : `${answer.label}, ${percent(answer.probability)}`
  find('#heard').prepend(element('li', {}, `${when}: ${words}`))
}

async function stop() {
  const microphone = hearing
  hearing = null
  find('#listen').textContent = 'Listen'
  await microphone?.close()
}

find('#listen').addEventListener('click', async () => {
  try {
    if (hearing) return await stop()
    const own = task
    recent = []
    hearing = await listen(own, (word) => note(word, `${word.start.toFixed(1)} s`), {
      unknown: UNKNOWN,
      failed: explain,
      block: (block) => {
        show(block)
        recent.push(block)
        while (recent.length > 22) recent.shift() // the window that is heard, about a second
        draw(wave, joined(recent))
      },
    })
    find('#listen').textContent = 'Stop'
    say('Listening: say one of your words.')
  } catch (error) {
    explain(error)
  }
})
find('#file').addEventListener('change', async ({ target }) => {
  const input = /** @type {HTMLInputElement} */ (target)
  const [file] = input.files ?? []
  input.value = ''
  if (!file || !task) return
  try {
    note(await task.predict(file, { unknown: UNKNOWN }), file.name)
  } catch (error) {
    explain(error)
  }
})

keepOffline()
try {
  const learner = await learnerOf(wanted(USUAL))
  if (learner.input.kind !== 'audio') throw new Error(`${learner.name} takes no sound: ${USUAL} does`)
  classes.use(learner)
} catch (error) {
  explain(error)
}

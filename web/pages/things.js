// Teach it your things: photographs and a camera, with a package that is loaded when one asks for it.
import { Answers, Classes, element, explain, find, keepOffline, latest, learnerOf, say, site, wanted } from './page.js'

const answers = new Answers('show it two things at least')
const camera = find('#camera')
const view = find('#view')
/** @type {any} */
let task = null
/** @type {MediaStream | null} */
let stream = null

/** The middle of a picture, square, on a canvas. @param {HTMLCanvasElement} canvas @param {any} picture */
function square(canvas, picture) {
  const [width, height] = [picture.videoWidth ?? picture.width, picture.videoHeight ?? picture.height]
  const side = Math.min(width, height)
  canvas.getContext('2d')?.drawImage(picture, (width - side) / 2, (height - side) / 2, side, side, 0, 0, canvas.width, canvas.height)
}

const classes = new Classes({
  noun: 'thing',
  file: 'things.npz',
  controls: (add, name) => {
    const shoot = element('button', {
      type: 'button', className: 'main', disabled: !stream,
      onclick: async () => add(await createImageBitmap(camera)),
    }, 'Take')
    shoot.setAttribute('aria-label', `Take a picture of ${name()}`)
    shoot.classList.add('shoot')
    const file = element('input', {
      type: 'file', accept: 'image/*', multiple: true,
      onchange: async () => {
        for (const one of Array.from(file.files ?? [])) {
          try {
            add(await createImageBitmap(one, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' }))
          } catch {
            say(`${one.name} is no picture that this browser can decode`, true)
          }
        }
      },
    })
    return [element('div', { className: 'row' }, shoot, element('label', { className: 'file' }, 'Photos', file))]
  },
  describe: (picture) => {
    const canvas = element('canvas', { width: 76, height: 76 })
    square(canvas, picture)
    return canvas
  },
  adapted: (found) => {
    task = found
    answers.show(task?.classes ?? [], null)
  },
})

const ask = latest(async (picture) => {
  const own = task
  if (!own) return
  const rates = own.learner.manifest.confidence.length ? { unknown: 0.05 } : {}
  answers.show(own.classes, await own.predict(picture, rates))
})

async function look() {
  if (!stream) return
  if (task && camera.videoWidth) ask(camera)
  setTimeout(look, 300)
}

find('#open-camera').addEventListener('click', async () => {
  try {
    if (stream) {
      stream.getTracks().forEach((track) => track.stop())
      stream = null
    } else {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } })
      camera.srcObject = stream
      await camera.play()
      look()
    }
    camera.hidden = !stream
    view.hidden = Boolean(stream)
    find('#open-camera').textContent = stream ? 'Stop' : 'Camera'
    document.querySelectorAll('.shoot').forEach((button) => button.toggleAttribute('disabled', !stream))
  } catch (error) {
    say(`the camera is not to be had: ${/** @type {Error} */ (error).message}`, true)
  }
})
find('#file').addEventListener('change', async ({ target }) => {
  const input = /** @type {HTMLInputElement} */ (target)
  const [file] = input.files ?? []
  input.value = ''
  if (!file) return
  try {
    square(view, await createImageBitmap(file))
    ask(file)
  } catch {
    say(`${file.name} is no picture that this browser can decode`, true)
  }
})

keepOffline()
try {
  const { packages } = await site()
  const found = packages.filter((/** @type {any} */ one) => one.kind === 'image' && one.colour === 'rgb')
  const choice = find('#package')
  for (const { name, bytes } of found) {
    choice.append(element('option', { value: name, selected: name === wanted('') }, `${name}, ${(bytes / 2 ** 20).toFixed(1)} MB`))
  }
  find('#choice').hidden = !found.length
  find('#none').hidden = found.length > 0
  say(found.length ? 'Nothing is loaded yet: the package is, when you ask for it.' : 'There is no package of photographs here.')
  find('#load').addEventListener('click', async () => {
    try {
      find('#load').toggleAttribute('disabled', true)
      classes.use(await learnerOf(choice.value))
      find('#open-camera').toggleAttribute('disabled', false)
    } catch (error) {
      find('#load').toggleAttribute('disabled', false)
      explain(error)
    }
  })
} catch (error) {
  explain(error)
}

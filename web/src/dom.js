// What only a browser has, as examples: canvases, images, videos and files; on either side of a worker.
import { InputError } from './errors.js'
import { readWav } from './inputs/sounds.js'

/**
 * @typedef {import('./manifest.js').InputSpec} InputSpec
 * @typedef {import('./inputs/examples.js').Example | HTMLCanvasElement | OffscreenCanvas | HTMLImageElement
 *   | HTMLVideoElement | ImageBitmap | VideoFrame | AudioBuffer | Blob} Example of a page; a file is a Blob
 * @typedef {Example | readonly unknown[]} Examples one, or a list of them
 * @typedef {Iterable<readonly [string, Examples]> | Examples} Labelled pairs or a Map; or examples, their
 *   labels apart
 */

/** @type {ImageBitmapOptions} colour profiles are ignored, pictures are turned upright */
const AS_IT_IS = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' }
const DECODED_AT = 48_000 // samples a second, of sounds that a browser decodes

/** @param {any} value @param {string} name of a class that not every browser, or thread, has */
const isA = (value, name) => {
  const Kind = /** @type {any} */ (globalThis)[name]
  return Kind !== undefined && value instanceof Kind
}

/**
 * The same values with `turn` applied to each example in lists, pairs and Maps.
 * @param {any} value @param {(value: any) => any} turn @returns {Promise<any>}
 */
async function throughout(value, turn) {
  if (value instanceof Map) return throughout([...value], turn)
  if (!Array.isArray(value)) return turn(value)
  return typeof value[0] === 'number' ? value
    : Promise.all(value.map((inner) => throughout(inner, turn)))
}

/**
 * Examples as a worker can be sent them.
 * @param {any} examples @param {InputSpec} spec
 */
export const sendable = (examples, spec) => throughout(examples, async (value) => {
  if (isA(value, 'HTMLCanvasElement')) {
    const context = value.getContext('2d')
    return context ? context.getImageData(0, 0, value.width, value.height) : createImageBitmap(value)
  }
  if (isA(value, 'HTMLImageElement') || isA(value, 'HTMLVideoElement')) return createImageBitmap(value, AS_IT_IS)
  if (isA(value, 'AudioBuffer')) {
    const samples = Array.from({ length: value.numberOfChannels }, (_, i) => value.getChannelData(i).slice())
    return { samples, rate: value.sampleRate }
  }
  if (isA(value, 'Blob') && spec.kind === 'audio' && !await isWav(value)) return decodeSound(value)
  return value
})

/** @param {Blob} file */
const isWav = async (file) => await file.slice(0, 4).text() === 'RIFF'

/** A sound in whichever form the browser decodes. @param {Blob} file */
async function decodeSound(file) {
  try {
    const context = new OfflineAudioContext(1, 1, DECODED_AT)
    return sendable(await context.decodeAudioData(await file.arrayBuffer()), /** @type {any} */ ({}))
  } catch {
    const name = /** @type {File} */ (file).name ?? 'the sound'
    throw new InputError(`${name} is no sound that this browser can decode`, 'a WAV file always is')
  }
}

/**
 * Examples decoded, as the runtime takes them.
 * @param {any} examples @param {InputSpec} spec
 */
export const decoded = (examples, spec) => throughout(examples, async (value) => {
  if (isA(value, 'Blob')) {
    if (spec.kind === 'audio') return readWav(new Uint8Array(await value.arrayBuffer()), value.name)
    if (spec.kind !== 'image') throw new InputError('a file is no example of a package of arrays')
    try {
      return pixelsOf(await createImageBitmap(value, AS_IT_IS))
    } catch {
      throw new InputError(`${value.name ?? 'the file'} is no picture that this browser can decode`)
    }
  }
  return isA(value, 'ImageBitmap') || isA(value, 'VideoFrame') ? pixelsOf(value) : value
})

/** @param {any} picture an ImageBitmap or a VideoFrame */
function pixelsOf(picture) {
  const [width, height] = [picture.width ?? picture.displayWidth, picture.height ?? picture.displayHeight]
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
  if (!context) throw new InputError('no canvas is to be had for a picture')
  context.drawImage(picture, 0, 0)
  picture.close()
  return context.getImageData(0, 0, width, height)
}

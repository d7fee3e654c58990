// A microphone's samples in blocks, by an AudioWorklet; and a task's words in them.
import { SessionError } from './errors.js'

/**
 * @typedef {import('./listener.js').Heard} Heard
 * @typedef {import('./listener.js').Hearing} Hearing
 * @typedef {{rate: number, close: () => Promise<void>}} Microphone
 */

/**
 * Opens the microphone; each block of samples is handed to `hear`.
 * @param {(block: Float32Array) => void} hear
 * @returns {Promise<Microphone>}
 */
export async function openMicrophone(hear) {
  if (!navigator.mediaDevices) {
    throw new SessionError('this page is no secure context, so that it has no microphone',
      'serve it over https, or from localhost')
  }
  let stream
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      // what makes speech pleasant in calls alters it: the packages heard it as it is
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    })
  } catch (error) {
    throw new SessionError(`the microphone is not to be had: ${/** @type {Error} */ (error).message}`,
      'allow it in the browser, and look whether one is plugged in')
  }
  const context = new AudioContext()
  await context.audioWorklet.addModule(new URL('./microphone-worklet.js', import.meta.url))
  const node = new AudioWorkletNode(context, 'handful-microphone', { numberOfOutputs: 0 })
  node.port.onmessage = ({ data }) => hear(data)
  context.createMediaStreamSource(stream).connect(node)
  await context.resume()
  return {
    rate: context.sampleRate,
    async close() {
      node.port.onmessage = null
      stream.getTracks().forEach((track) => track.stop())
      await context.close()
    },
  }
}

/**
 * Hears a task's words by the microphone until it is closed.
 * @param {import('./browser.js').Task} task
 * @param {(heard: Heard) => void} heard
 * @param {Hearing & {block?: (samples: Float32Array) => void, failed?: (error: Error) => void}} [how]
 *   `block` is given each block, for a meter
 * @returns {Promise<Microphone>}
 */
export async function listen(task, heard, { block, failed = console.error, ...how } = {}) {
  /** @type {Promise<import('./browser.js').Listener> | null} */
  let listener = null
  let turn = Promise.resolve()
  const microphone = await openMicrophone((samples) => {
    block?.(samples)
    turn = turn.then(async () => {
      if (listener) for (const word of await (await listener).feed(samples)) heard(word)
    }).catch(failed)
  })
  listener = task.listener(microphone.rate, how)
  await listener
  return microphone
}

// The runtime by itself, for any onnxruntime: node.js and worker.js say which.
import { Learner } from './learner.js'
import { fromBytes, readPackage } from './package.js'

export * from './errors.js'
export { windows, Windows } from './inputs/series.js'
export { readWav } from './inputs/sounds.js'
export { Learner } from './learner.js'
export { readManifest } from './manifest.js'
export { fromUrl, fromBytes } from './package.js'
export { Task } from './task.js'
export { verify } from './verify.js'
export { vet } from './vetting/vet.js'

/**
 * @typedef {import('./task.js').Answer} Answer
 * @typedef {import('./task.js').Ask} Ask
 * @typedef {import('./learner.js').Draws} Draws
 * @typedef {import('./inputs/examples.js').Example} Example
 * @typedef {import('./manifest.js').Manifest} Manifest
 * @typedef {import('./unlike.js').Warning} Warning
 * @typedef {import('./verify.js').Report} Report
 * @typedef {object} How
 * @property {import('./engine.js').Ort} ort onnxruntime
 * @property {(share: number) => void} [progress] how much has been read, 0 to 1
 * @property {import('./unlike.js').Warn} [warn] where an example is odd; by default to the console
 * @property {object} [options] of onnxruntime's sessions
 */

/**
 * The learner of a package, of which every graph is checked before any of them runs.
 * @param {Uint8Array | ArrayBuffer | Blob | import('./package.js').Read} source the bytes of a
 *   .handful file, or what reads a package's files
 * @param {How} how
 * @returns {Promise<Learner>}
 */
export async function load(source, { ort, progress, warn, options }) {
  const read = typeof source === 'function' ? source : await fromBytes(await bytesOf(source))
  return new Learner(await readPackage(read, progress), ort, { options, warn })
}

/** @param {Uint8Array | ArrayBuffer | Blob} source */
export async function bytesOf(source) {
  if (source instanceof Uint8Array) return source
  return new Uint8Array(source instanceof ArrayBuffer ? source : await source.arrayBuffer())
}

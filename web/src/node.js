// handful in Node: packages and files on disk, by onnxruntime-node.
import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load as loadFrom } from './core.js'
import { PackageError, SessionError } from './errors.js'
import { fromBytes, MAX_FILE } from './package.js'

export { advantages } from './advantages.js'
export * from './core.js'

/** @typedef {import('./package.js').Read} Read */

/**
 * Reads the files of a package on disk, a folder or a .handful file: each as a regular file, opened
 * once, no link followed.
 * @param {string} path
 * @returns {Promise<Read>}
 */
export async function fromPath(path) {
  const found = await stat(path).catch(() => null)
  if (!found) throw new PackageError(`no package at ${path}`, 'a folder, or a .handful file')
  if (!found.isDirectory()) return fromBytes(await regular(path, MAX_FILE), basename(path))
  return (name, most) => regular(join(path, name), most)
}

/** @param {string} path @param {number} most @returns {Promise<Uint8Array>} */
async function regular(path, most) {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants // so that a fifo does not hang us
  let file
  try {
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    const found = await file.stat()
    if (!found.isFile()) throw new PackageError(`${path} is not a regular file`, 'copy the file itself')
    if (found.size > most) {
      throw new PackageError(`${path} has ${found.size} bytes, at most ${most} are read`)
    }
    const bytes = new Uint8Array(found.size)
    let at = 0
    while (at < bytes.length) {
      const { bytesRead } = await file.read(bytes, at, bytes.length - at, at)
      if (!bytesRead) break
      at += bytesRead
    }
    return bytes.subarray(0, at)
  } catch (error) {
    if (error instanceof PackageError) throw error
    throw new PackageError(`cannot read ${path}: ${/** @type {Error} */ (error).message}`,
      'copy the package again, as a whole')
  } finally {
    await file?.close()
  }
}

/**
 * The learner of a package.
 * @param {string | URL | Uint8Array | ArrayBuffer | Blob | Read} source the path of a folder or of a
 *   .handful file, its bytes, or what reads a package's files
 * @param {Partial<import('./core.js').How>} [how] onnxruntime-node is taken where no `ort` is given
 * @returns {Promise<import('./learner.js').Learner>}
 */
export async function load(source, how = {}) {
  const ort = how.ort ?? await onnxruntime()
  const path = source instanceof URL ? fileURLToPath(source) : source
  const options = how.options ?? { intraOpNumThreads: 1, logSeverityLevel: 4 }
  return loadFrom(typeof path === 'string' ? await fromPath(path) : path, { ...how, ort, options })
}

/** @returns {Promise<any>} */
async function onnxruntime() {
  try {
    return (await import('onnxruntime-node')).default
  } catch (error) {
    throw new SessionError(`onnxruntime-node cannot be loaded: ${/** @type {Error} */ (error).message}`,
      'npm install onnxruntime-node')
  }
}

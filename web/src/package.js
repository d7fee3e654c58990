// Reading a package with care, from wherever it lies: each file is read once, hashed and vetted.
import { ManifestError, PackageError, SessionError } from './errors.js'
import { FILE, isPlainName, MAX_BYTES, readManifest } from './manifest.js'
import { vet } from './vetting/vet.js'
import { archive, directory, extract } from './zip.js'

/**
 * @typedef {import('./manifest.js').Manifest} Manifest
 * @typedef {import('./manifest.js').TensorSpec} TensorSpec
 * @typedef {((name: string, most: number) => Promise<Uint8Array>) & {names?: string[]}} Read a file of a
 *   package, of which no more than `most` bytes are read; `names` of the files that there are in one file
 * @typedef {string | URL | Uint8Array | ArrayBuffer | Blob | Read} Source where a package lies: the
 *   address or path of a folder or of a .handful file, the bytes of one, or what reads its files
 * @typedef {{manifest: Manifest, identity: string, graphs: Map<string, {bytes: Uint8Array,
 *   outputs: string[]}>, read: Read}} Package `outputs` are the names in the file
 */

export const MAX_FILE = 2 ** 28 // bytes of a package as one file
const MAX_MEMBERS = 1000
const AGAIN = 'copy the package again, as a whole'

/** @param {Uint8Array} bytes @returns {Promise<string>} */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new SessionError('this page is no secure context, so that no sha256 can be computed here',
      'serve it over https, or from localhost')
  }
  const own = /** @type {Uint8Array<ArrayBuffer>} */ (bytes)
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', own))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The package's identity: the hash of its manifest's text with lines that end in LF. @param {Uint8Array} bytes */
export const identify = (bytes) => sha256(bytes.filter((byte, i) => byte !== 13 || bytes[i + 1] !== 10))

/**
 * Reads the files under an address: a folder's, or those in a .handful file.
 * @param {string | URL} address
 * @param {(bytes: number) => void} [progress] of a .handful file, as its bytes come
 * @returns {Promise<Read>}
 */
export async function fromUrl(address, progress) {
  const url = new URL(String(address), globalThis.location?.href)
  if (url.pathname.endsWith('.handful')) return fromBytes(await fetched(url, MAX_FILE, progress))
  const folder = new URL(url)
  folder.pathname += folder.pathname.endsWith('/') ? '' : '/'
  return (name, most) => fetched(new URL(name, folder), most)
}

/** @param {URL} url @param {number} most @param {(bytes: number) => void} [progress] */
async function fetched(url, most, progress) {
  let response
  try {
    response = await fetch(url, { redirect: 'error' })
  } catch (error) {
    throw new PackageError(`${url.pathname} cannot be fetched: ${/** @type {Error} */ (error).message}`)
  }
  if (!response.ok || !response.body) {
    throw new PackageError(`${url.pathname} cannot be fetched: ${response.status}`, AGAIN)
  }
  const parts = []
  const reader = response.body.getReader()
  let size = 0
  for (let part; !(part = await reader.read()).done;) {
    size += part.value.length
    if (size > most) {
      await reader.cancel()
      throw new PackageError(`${url.pathname} has more than the ${most} bytes that are read`)
    }
    progress?.(size)
    parts.push(part.value)
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer())
}

/**
 * Reads the files in the bytes of a .handful file, which is exactly what packing them gives: so there is
 * no second reading of it.
 * @param {Uint8Array} bytes
 * @param {string} [name]
 * @returns {Promise<Read>}
 */
export async function fromBytes(bytes, name = 'the package') {
  if (bytes.length > MAX_FILE) {
    throw new PackageError(`${name} has ${bytes.length} bytes, at most ${MAX_FILE} are read`)
  }
  const listed = directory(bytes, name, PackageError, { members: MAX_MEMBERS, size: MAX_FILE })
  /** @type {Map<string, Uint8Array>} */
  const files = new Map()
  for (const member of listed) {
    if (!isPlainName(member.name)) {
      throw new PackageError(`${name} has a member ${JSON.stringify(member.name.slice(0, 60))}, wanted`
        + ' plain names without folders')
    }
    files.set(member.name, await extract(bytes, member, name, PackageError))
  }
  const again = archive([...files].sort(([a], [b]) => a < b ? -1 : 1))
  if (again.length !== bytes.length || again.some((byte, i) => byte !== bytes[i])) {
    throw new PackageError(`${name} is a zip archive, and not as packages are packed: in the order of`
      + ' names, stored, dated 1980-01-01, with nothing beside',
    'unpack it, and pack the folder again with `handful pack FOLDER`')
  }
  /** @type {Read} */
  const read = async (file, most) => {
    const found = files.get(file)
    if (!found) throw new PackageError(`no file ${file} in ${name}`, AGAIN)
    if (found.length > most) {
      throw new PackageError(`${file} has ${found.length} bytes, at most ${most} are read`)
    }
    return found
  }
  return Object.assign(read, { names: [...files.keys()] })
}

/**
 * The package that `read` reads: its manifest checked, every graph hashed and vetted.
 * @param {Read} read
 * @param {(share: number) => void} [progress] how much of the graphs has been read, 0 to 1
 * @returns {Promise<Package>}
 */
export async function readPackage(read, progress) {
  let text
  try {
    text = await read(FILE, MAX_BYTES)
  } catch (error) {
    if (!(error instanceof PackageError)) throw error
    throw new ManifestError(error.message, 'a package is made by `handful export`')
  }
  const manifest = readManifest(text)
  const specs = Object.entries(manifest.graphs)
  const parts = [FILE, 'conformance.npz', 'README.md', ...specs.map(([, { file }]) => file)]
  const other = read.names?.find((name) => !parts.includes(name))
  if (other !== undefined) throw new PackageError(`${other} is no file of the package`, AGAIN)
  const total = specs.reduce((sum, [, graph]) => sum + graph.bytes, 0)
  let done = 0
  const files = await Promise.all(specs.map(async ([, spec]) => {
    const bytes = await read(spec.file, spec.bytes)
    if (bytes.length !== spec.bytes) {
      throw new PackageError(
        `${spec.file} has ${bytes.length} bytes, the manifest says ${spec.bytes}`, AGAIN)
    }
    const digest = await sha256(bytes)
    if (digest !== spec.sha256) {
      throw new PackageError(`${spec.file} has sha256 ${digest}, the manifest says ${spec.sha256}`,
        `the file was altered: ${AGAIN}`)
    }
    done += spec.bytes
    progress?.(done / total)
    return bytes
  }))
  const graphs = new Map()
  specs.forEach(([name, spec], i) => {
    const { inputs, outputs } = vet(files[i], spec.file)
    const declared = new Map(spec.inputs.map((tensor) => [tensor.name, tensor]))
    const listed = spec.outputs.map((tensor) => tensor.name)
    if (inputs.length !== spec.inputs.length || outputs.length !== spec.outputs.length) {
      throw new PackageError(`${spec.file} has other inputs or outputs than the manifest says`, AGAIN)
    }
    for (const port of inputs) compare(port, declared.get(port.name), `${spec.file}: input`)
    outputs.forEach((port, k) => {
      const same = port.name === listed[k] || port.name === `${listed[k]}.next`
      compare(port, same ? spec.outputs[k] : undefined, `${spec.file}: output`)
    })
    graphs.set(name, { bytes: files[i], outputs: outputs.map((port) => port.name) })
  })
  return { manifest, identity: await identify(text), graphs, read }
}

/**
 * @param {import('./vetting/vet.js').Port} port
 * @param {TensorSpec | undefined} spec
 * @param {string} place
 */
function compare({ name, dtype, shape }, spec, place) {
  const fits = spec?.dtype === dtype && spec.shape.length === shape.length
    && spec.shape.every((size, i) => typeof shape[i] === 'string' || size === shape[i])
  if (!fits) {
    const wanted = spec ? `${spec.dtype} [${spec.shape.join(', ')}]` : 'no such tensor'
    throw new PackageError(`${place} ${JSON.stringify(name.slice(0, 60))} is ${dtype}`
      + ` [${shape.join(', ')}], the manifest says ${wanted}`, AGAIN)
  }
}

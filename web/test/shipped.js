// The packages that ship with the project, and examples for them, for all tests.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { load } from '../src/node.js'
import { archive } from '../src/zip.js'
import { readNpz } from '../src/npz.js'
import { PackageError } from '../src/errors.js'

export const EXPORTED = fileURLToPath(new URL('../../exported/', import.meta.url))
export const SHIPPED = readdirSync(EXPORTED, { withFileTypes: true })
  .filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort()

const loaded = new Map()

/** A shipped package, loaded once; warnings are kept beside it. */
export async function shipped(name) {
  if (!loaded.has(name)) {
    const warnings = []
    const learner = load(EXPORTED + name, { warn: (warning) => warnings.push(warning) })
    loaded.set(name, learner.then((found) => Object.assign(found, { warnings })))
  }
  return loaded.get(name)
}

/** The golden examples of a package, each an array of its own, with one-hot labels. */
export async function golden(name) {
  const bytes = readFileSync(`${EXPORTED}${name}/conformance.npz`)
  const arrays = await readNpz(bytes, name, PackageError, { size: 2 ** 26, deflated: true })
  const rows = (key) => {
    const { data, shape: [count] } = arrays.get(key)
    const size = data.length / count
    return Array.from({ length: count }, (_, i) => data.slice(i * size, (i + 1) * size))
  }
  const y = rows('support_y')
  const { classes } = await shipped(name) // those that the package names, if it does
  return { support: rows('support_x'), y, labels: y.map((row) => classes[row.indexOf(1)] ?? `class ${row.indexOf(1)}`), queries: rows('query_x'), arrays }
}

/** A package as one file: one that ships, or that of a folder. */
export function oneFile(name, folder = `${EXPORTED}${name}/`) {
  const files = readdirSync(folder).sort()
  return archive(files.map((file) => [file, new Uint8Array(readFileSync(folder + file))]))
}

// Reading with care: JSON, archives and packages from anybody, each refused in words.
import assert from 'node:assert/strict'
import { mkdtempSync, mkdirSync, symlinkSync, writeFileSync, readFileSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { load, ManifestError, PackageError, readManifest, TaskFileError, vet } from '../src/node.js'
import { readJson } from '../src/json.js'
import { archive } from '../src/zip.js'
import { EXPORTED, oneFile, shipped } from './shipped.js'

const LEO = `${EXPORTED}omniglot-leo/`
const encoded = (text) => new TextEncoder().encode(text)
const files = () => readdirSync(LEO).sort().map((name) => [name, new Uint8Array(readFileSync(LEO + name))])

for (const [text, words] of Object.entries({
  '{"a": 1, "a": 2}': /field given twice in x: `a`/,
  '{"a": 1e400}': /wanted a finite number/,
  '[9007199254740993]': /integers are at most/,
  '["\\ud800"]': /half a character/,
  '[1,]': /not JSON at character 3/,
  '[01]': /not JSON/,
  '{"a" 1}': /not JSON/,
  '[NaN]': /not JSON/,
  '"a\nb"': /not JSON/,
  [`${'['.repeat(65)}${']'.repeat(65)}`]: /nested more than 64 levels/,
})) {
  test(`of JSON ${text.slice(0, 30).replaceAll('\n', '⏎')} is refused`, () => {
    assert.throws(() => readJson(encoded(text), 'x'), (error) => error instanceof ManifestError && words.test(error.message))
  })
}

test('whole numbers are written as integers', () => {
  const { value, whole } = readJson(encoded('{"a": 1, "b": 1e2, "c": [2.0]}'), 'x')
  assert.deepEqual([whole(value, 'a'), whole(value, 'b'), whole(value.c, 0)], [true, false, false])
})

test('a manifest of another format, and one with an unknown field, are refused', () => {
  const manifest = JSON.parse(readFileSync(`${LEO}manifest.json`, 'utf8'))
  const refused = (changed, words) =>
    assert.throws(() => readManifest(encoded(JSON.stringify({ ...manifest, ...changed }))), words)
  refused({ format: 2 }, /manifest has format 2, this runtime reads 1/)
  refused({ colour: 'red' }, /unknown field in manifest: `colour`/)
  refused({ name: '../up' }, /`name` is/)
})

test('a file that was altered is refused, and one that is a link', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'handful-'))
  for (const [name, bytes] of files()) writeFileSync(join(folder, name), bytes)
  const graph = readFileSync(join(folder, 'predict.onnx'))
  graph[graph.length - 1] ^= 1
  writeFileSync(join(folder, 'predict.onnx'), graph)
  await assert.rejects(load(folder), /predict\.onnx has sha256/)
  const linked = mkdtempSync(join(tmpdir(), 'handful-'))
  for (const [name] of files()) symlinkSync(LEO + name, join(linked, name))
  await assert.rejects(load(linked), PackageError)
  mkdirSync(join(linked, 'empty'))
  await assert.rejects(load(join(linked, 'empty')), ManifestError)
})

test('one file has one reading: nothing before, between or after, in the order of names', async () => {
  const whole = oneFile('omniglot-leo')
  const one = (bytes) => load(bytes)
  assert.equal((await one(whole)).name, 'omniglot-leo')
  const longer = new Uint8Array(whole.length + 1)
  longer.set(whole)
  await assert.rejects(one(longer), PackageError)
  longer.fill(0)
  longer.set(whole, 1)
  await assert.rejects(one(longer), PackageError)
  await assert.rejects(one(archive(files().reverse())), /not as packages are packed/)
  await assert.rejects(one(archive([...files(), ['zz.txt', encoded('x')]])), /zz\.txt is no file of the package/)
  await assert.rejects(one(archive([...files(), ['zz/a', encoded('x')]])), /wanted plain names/)
  await assert.rejects(one(archive([files()[0], ...files()])), /two members/)
  const damaged = Uint8Array.from(whole)
  damaged[5000] ^= 1
  await assert.rejects(one(damaged), /is damaged/)
  await assert.rejects(one(whole.subarray(0, 9000)), /not a whole archive/)
})

test('a graph with an unknown operator is refused before onnxruntime sees it', () => {
  const text = readFileSync(`${LEO}predict.onnx`, 'latin1')
  assert.ok(text.includes('MatMul'))
  const bytes = Buffer.from(text.replaceAll('MatMul', 'MatMux'), 'latin1')
  assert.throws(() => vet(bytes, 'predict.onnx'), /predict\.onnx: operator "MatMux" is not one/)
})

test('a task of another package, and what is no task, are refused', async () => {
  const [leo, maml] = [await shipped('omniglot-leo'), await shipped('omniglot-maml')]
  const x = Array.from({ length: 2 }, (_, i) => Float32Array.from({ length: 784 }, (__, k) => (k + 13 * i) % 17 === 0 ? 1 : 0))
  const bytes = await (await leo.adapt([['a', [x[0]]], ['b', [x[1]]]])).save()
  await assert.rejects(maml.loadTask(bytes), /was saved with another package than omniglot-maml/)
  await assert.rejects(leo.loadTask(encoded('nothing')), TaskFileError)
  await assert.rejects(leo.loadTask(oneFile('omniglot-leo')), TaskFileError)
})

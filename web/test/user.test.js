// What a user of the npm package meets: README's program runs, and a strict TypeScript program is checked.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { oneFile } from './shipped.js'

const WEB = fileURLToPath(new URL('../', import.meta.url))
const TSC = join(WEB, 'node_modules/typescript/bin/tsc')
const PROGRAM = `
import { AdaptError, load, type Answer, type Ask, type Draws, type Example, type Manifest, type Report, type Task, type Warning } from 'handful'

const learner = await load('omniglot-leo.handful', { progress: (share: number) => console.log(share) })
const x = new Float32Array(784)
const picture: ImageData | { data: Uint8Array, width: number, height: number } = { data: new Uint8Array(12), width: 2, height: 2 }
let task: Task = await learner.adapt([['7', [x, x]], ['house', [picture]]])
task = await learner.adapt(new Map([['7', [x]], ['8', [x]]]), { samples: 3, seed: 0 })
task = await learner.adapt([x, x], ['a', 'b'])
const one: Answer = await task.predict(x, { unknown: 0.05 })
const said: string = one.label === null ? 'none of these' : \`\${one.label}, \${one.probability.toFixed(2)}\`
const several: Answer[] = await task.predict([x, x], { coverage: 0.95 })
const sets: (string[] | undefined)[] = several.map(({ labels }) => labels)
const logits: Float32Array = await task.logits(x)
const all: Float32Array[] = await task.outputs([x, x])
task = await (await task.add([['fish', [x]]])).remove('a')
const count: number | undefined = task.counts.get('fish')
const bytes: Uint8Array = await task.save()
task = await learner.loadTask(bytes)
try { await learner.adapt([]) } catch (error) { if (error instanceof AdaptError) console.log(error.hint) }
const ask: Ask = { unknown: 0.05 }
const draws: Draws = { samples: 3, seed: 0 }
const example: Example = x
const manifest: Manifest = learner.manifest
const warn = ({ kind, message }: Warning) => console.warn(kind, message)
const ok = ({ ok, failed }: Report) => ok && !failed.length
console.log(said, sets, logits, all, count, ask, draws, example, manifest.name, warn, ok)
`
const WRONG = {
  'an object in place of pairs': ["await learner.adapt({ a: [x], b: [x] })", /Labelled/],
  'a rate of unknown as text': ["await task.predict(x, { unknown: '5%' })", /number/],
  'a probability beside none': ['const sure: number = (await task.predict(x)).probability', /undefined/],
  'a list for one answer': ['const a: Answer = await task.predict([x])', /Answer/],
  'a name that there is not': ['await task.forget("a")', /forget/],
}
let folder
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'handful-user-'))
  const own = join(folder, 'node_modules/handful')
  mkdirSync(own, { recursive: true })
  copyFileSync(join(WEB, 'package.json'), join(own, 'package.json'))
  for (const name of ['onnxruntime-node', 'onnxruntime-common', '@types']) symlinkSync(join(WEB, 'node_modules', name), join(folder, 'node_modules', name))
  symlinkSync(join(WEB, 'src'), join(own, 'src'))
  execFileSync('node', [TSC, '--project', join(WEB, 'tsconfig.json'), '--outDir', join(own, 'types')])
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
  writeFileSync(join(folder, 'omniglot-leo.handful'), oneFile('omniglot-leo'))
})
after(() => rmSync(folder, { recursive: true, force: true }))

/** What a strict tsc says of a program, in Node's eyes or in a bundler's for browsers. */
function check(text, forBrowsers) {
  writeFileSync(join(folder, 'program.ts'), text)
  const modules = forBrowsers ? ['--module', 'esnext', '--moduleResolution', 'bundler'] : ['--module', 'nodenext', '--types', 'node']
  const found = spawnSync('node', [TSC, '--strict', '--noEmit', '--target', 'es2023', '--lib', 'es2023,dom,dom.iterable', ...modules, 'program.ts'], { cwd: folder, encoding: 'utf8' })
  return found.stdout
}

test("README's program runs as it stands", () => {
  const readme = readFileSync(join(WEB, 'README.md'), 'utf8')
  writeFileSync(join(folder, 'program.js'), /```js\n(.*?)```/s.exec(readme)[1])
  const found = spawnSync('node', ['program.js'], { cwd: folder, encoding: 'utf8' })
  assert.equal(found.stderr, '')
  assert.equal(found.stdout, 'ring true\n')
})

for (const forBrowsers of [false, true]) {
  test(`a user's program is typed, for ${forBrowsers ? 'a browser' : 'Node'}`, () => {
    assert.equal(check(PROGRAM, forBrowsers), '')
    for (const [name, [line, words]] of Object.entries(WRONG)) assert.match(check(`${PROGRAM}\n${line}\n`, forBrowsers), words, name)
  })
}

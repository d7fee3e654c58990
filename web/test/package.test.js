// What npm would publish: everything that package.json names, with its types, and little of it.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync } from 'node:zlib'

const WEB = fileURLToPath(new URL('../', import.meta.url))
const MOST = 64_000 // bytes of the whole runtime, its comments left out, packed by brotli

test('the package has every file that it names', () => {
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json', '--loglevel=error'], { cwd: WEB, encoding: 'utf8' })
  const [{ files }] = JSON.parse(packed.slice(packed.indexOf('[\n')))
  const names = new Set(files.map(({ path }) => `./${path}`))
  const manifest = JSON.parse(readFileSync(`${WEB}package.json`, 'utf8'))
  const targets = JSON.stringify(manifest.exports).match(/"\.\/(src|types)\/[^"*]+"/g).map((text) => JSON.parse(text))
  for (const target of targets) assert.ok(names.has(target), target)
  assert.ok(names.has('./LICENSE') && names.has('./README.md'))
  assert.ok(![...names].some((name) => name.startsWith('./test') || name.startsWith('./pages')))
})

test('the runtime stays small', () => {
  const files = readdirSync(`${WEB}src`, { recursive: true }).filter((name) => name.endsWith('.js'))
  const sizes = files.map((name) => {
    const text = readFileSync(`${WEB}src/${name}`, 'utf8').replace(/\/\*\*.*?\*\//gs, '').replace(/^\s*\/\/.*$/gm, '').replace(/^\s+/gm, '')
    return brotliCompressSync(text).length
  })
  const whole = sizes.reduce((a, b) => a + b, 0)
  console.log(`${files.length} modules, ${whole} bytes by brotli without their comments`)
  assert.ok(whole < MOST)
})

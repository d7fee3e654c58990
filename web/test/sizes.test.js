// How large the script is that a browser fetches, bundled and compressed: it does not grow unnoticed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const SOURCE = fileURLToPath(new URL('../src/', import.meta.url))
const LATER = ['./verify.js', './listener.js', './task_file.js', './rollout.js'] // read when they are first needed
// kB of what is read before the first answer, as docs/web.md has them: the page's thread and its worker
const BARS = { 'browser.js': { gzip: 4.8, brotli: 4.4 }, 'worker.js': { gzip: 37, brotli: 33 } }

for (const [entry, bars] of Object.entries(BARS)) {
  test(`${entry} is no larger than it was`, async () => {
    const { outputFiles: [file] } = await build({
      entryPoints: [SOURCE + entry], bundle: true, minify: true, format: 'esm', write: false,
      external: ['onnxruntime-web/wasm', ...LATER],
    })
    const sizes = { gzip: gzipSync(file.contents, { level: 9 }).length, brotli: brotliCompressSync(file.contents).length }
    console.log(`${entry}: ${file.contents.length} bytes, ${sizes.gzip} by gzip, ${sizes.brotli} by brotli`)
    for (const [how, kB] of Object.entries(bars)) assert.ok(sizes[how] <= 1000 * kB, `${how}: ${sizes[how]} bytes`)
  })
}

// Examples as applications have them: what is taken, in which shapes, and what is refused in which words.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InputError, readWav, Windows, windows } from '../src/node.js'
import { scoreOf } from '../src/confidence.js'
import { toBatch } from '../src/inputs/examples.js'
import { resampled } from '../src/inputs/sounds.js'
import { shipped } from './shipped.js'

const spec = async (name) => (await shipped(name)).input
const refused = (examples, of, words) =>
  assert.throws(() => toBatch(examples, of, 'query'), (error) => error instanceof InputError && words.test(error.message))

test('a picture is an array of its shape, with its one channel or without, or pixels of any size', async () => {
  const of = await spec('omniglot-leo')
  const flat = new Float32Array(784)
  const square = Array.from({ length: 28 }, () => Array(28).fill(0.5))
  for (const one of [flat, { data: flat, shape: [28, 28] }, { data: flat, shape: [28, 28, 1] }, square]) {
    const { count, single } = toBatch(one, of, 'query')
    assert.deepEqual([count, single], [1, true])
  }
  assert.deepEqual(toBatch([flat, square], of, 'query').count, 2)
  assert.deepEqual(toBatch({ data: new Float32Array(3 * 784), shape: [3, 28, 28] }, of, 'query').single, false)
  const black = { data: new Uint8ClampedArray(4 * 6).map((_, i) => i % 4 === 3 ? 255 : 0), width: 3, height: 2 }
  assert.ok(toBatch(black, of, 'query').x.every((value) => value === 1)) // inverted: ink is bright
  const clear = { ...black, data: new Uint8ClampedArray(4 * 6) }
  assert.ok(toBatch(clear, of, 'query').x.every((value) => value === 0)) // transparent: white paper
})

test('what a picture may not be', async () => {
  const of = await spec('omniglot-leo')
  refused(new Float32Array(783), of, /query has shape \[783\], wanted \[28, 28, 1\]/)
  refused(new Float32Array(784).fill(1.1), of, /values from 1\.1.* to 1\.1.*, wanted 0 to 1/)
  refused(new Float32Array(784).fill(NaN), of, /not finite/)
  refused(new Int16Array(784), of, /is Int16Array, wanted uint8 or floats/)
  refused([[1, 2], [3]], of, /lists are not of one length/)
  refused({ samples: new Float32Array(9), rate: 16000 }, of, /the package takes pictures, query is sound/)
  refused('house', of, /is "house", which is no array/)
  assert.equal(toBatch(new Float32Array(784).fill(1.000001), of, 'query').count, 1) // a rounding
})

test('sounds: recordings are limited, arrays beyond ±1 refused', async () => {
  const of = await spec('keywords-proto-maml')
  const loud = new Float32Array(16000).map((_, i) => 3 * Math.sin(i / 20))
  refused(loud, of, /values beyond -1 to 1/)
  const { x } = toBatch({ samples: loud, rate: 16000 }, of, 'query')
  assert.equal(Math.max(...x), 1)
  const both = { samples: [new Int16Array(8000).fill(9), new Int16Array(8000).fill(-9)], rate: 8000 }
  assert.ok(toBatch(both, of, 'query').x.every((value) => value === 0)) // they cancel out
  refused({ samples: loud, rate: 100 }, of, /has the rate 100, wanted 4000 to 192000/)
  assert.equal(toBatch([loud.map((v) => v / 3), loud.map((v) => v / 4)], of, 'query').count, 2)
})

test('a tone keeps its pitch at another rate', () => {
  const tone = Float64Array.from({ length: 4410 }, (_, i) => Math.sin(2 * Math.PI * 440 * i / 44100))
  const found = resampled(tone, 44100, 16000)
  assert.equal(found.length, 1600)
  for (let m = 200; m < 1400; m++) {
    assert.ok(Math.abs(found[m] - Math.sin(2 * Math.PI * 440 * m / 16000)) < 1e-3)
  }
})

test('a recording of a pen is one example, whole, whatever its length', async () => {
  const of = await spec('pen-proto-maml')
  const readings = [[0, 0, 1], [1, 0, 1], [1, 1, 0]]
  const { x, single } = toBatch(readings, of, 'query')
  assert.deepEqual([x.length, single], [64 * 3, true])
  assert.deepEqual([...x.slice(0, 3)], [0, 0, 1])
  assert.deepEqual([...x.slice(-3)], [1, 1, 0])
  const middle = x.slice(3 * 31, 3 * 32) // a state holds on the way to its reading
  assert.ok(Math.abs(middle[0] - 2 * 31 / 63) < 1e-6)
  assert.equal(middle[2], 1)
  const flat = toBatch(Float32Array.from(readings.flat()), of, 'query')
  assert.deepEqual(flat.x, x)
})

test('windows of a recording, at once and as it comes', () => {
  const data = Float32Array.from({ length: 20 }, (_, i) => i)
  const cut = windows({ data, shape: [10, 2] }, 4)
  assert.deepEqual(cut.map((window) => window.data[0]), [0, 4, 8, 12])
  assert.deepEqual([...windows({ data: data.slice(0, 4), shape: [2, 2] }, 3)[0].data], [0, 1, 2, 3, 2, 3])
  const stream = new Windows(4, 3)
  const come = [3, 1, 6].flatMap((count, k) => {
    const from = [0, 3, 4][k]
    return stream.feed({ data: data.slice(2 * from, 2 * (from + count)), shape: [count, 2] })
  })
  assert.deepEqual(come.map((window) => window.data[0]), windows({ data, shape: [10, 2] }, 4, 3).map((window) => window.data[0]))
})

test('what is no WAV file is refused', () => {
  assert.throws(() => readWav(new TextEncoder().encode('ID3 and so on'), 'a.mp3'), /a\.mp3 is not a WAV file/)
})

test('the score of a task with one class is its logit', () => {
  assert.equal(scoreOf([3], 1), 3)
  assert.equal(scoreOf([3, 1, 2], 1), 1.5)
})

// Teach it your words, in Chromium: from files and a microphone that plays a file; silence is refused.
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ARTEFACTS, browse, faults, missing, served } from './browser.js'

const RATE = 48_000
let site
before(async () => {
  if (!missing) site = await served('keywords-proto-maml')
})
after(() => site?.close())

/** A WAV file of 16 bits. */
function wav(samples) {
  const bytes = Buffer.alloc(44 + 2 * samples.length)
  bytes.write('RIFF')
  bytes.writeUInt32LE(36 + 2 * samples.length, 4)
  bytes.write('WAVEfmt ', 8)
  bytes.writeUInt32LE(16, 16)
  bytes.writeUInt16LE(1, 20)
  bytes.writeUInt16LE(1, 22)
  bytes.writeUInt32LE(RATE, 24)
  bytes.writeUInt32LE(2 * RATE, 28)
  bytes.writeUInt16LE(2, 32)
  bytes.writeUInt16LE(16, 34)
  bytes.write('data', 36)
  bytes.writeUInt32LE(2 * samples.length, 40)
  samples.forEach((x, i) => bytes.writeInt16LE(Math.round(32767 * Math.max(-1, Math.min(1, x))), 44 + 2 * i))
  return bytes
}

/** A word of a machine: notes, one after the other, with silence about them. */
function word(notes, { loud = 0.4, before: silent = 0.35, after: rest = 0.35 } = {}) {
  const samples = Array(Math.round(silent * RATE)).fill(0)
  let phase = 0
  for (const [from, to] of notes) {
    const count = Math.round(0.6 / notes.length * RATE)
    for (let i = 0; i < count; i++) {
      phase += 2 * Math.PI * (from + (to - from) * i / count) / RATE
      const swell = Math.sin(Math.PI * i / count) ** 0.5
      samples.push(loud * swell * (Math.sin(phase) + 0.5 * Math.sin(2 * phase) + 0.25 * Math.sin(3 * phase)) / 1.75)
    }
  }
  return [...samples, ...Array(Math.round(rest * RATE)).fill(0)]
}

const WORDS = { up: [[200, 900]], down: [[900, 200]], twice: [[400, 420], [400, 420], [1200, 1000]] }

/** A browser whose microphone plays a file, over and over. */
async function heard(samples) {
  const file = join(mkdtempSync(join(tmpdir(), 'handful-sound-')), 'microphone.wav')
  writeFileSync(file, wav(samples))
  const flags = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${file}`]
  const browser = await browse({ flags })
  await browser.page.goto(site.address)
  await browser.page.locator('#status', { hasText: 'examples of two words' }).waitFor()
  return browser
}

async function teach(page) {
  for (const [i, [name, notes]] of Object.entries(WORDS).entries()) {
    const card = page.locator('#cards .card').nth(i)
    await card.getByLabel('Name of the word').fill(name)
    await card.getByLabel('Name of the word').press('Tab')
    await page.locator('#cards .card').nth(i).locator('input[type=file]').setInputFiles(
      { name: `${name}.wav`, mimeType: 'audio/wav', buffer: wav(word(notes)) })
  }
  await page.locator('#status', { hasText: 'Learned 3 words' }).waitFor()
}

test('words from files are heard in files and in the microphone', { skip: missing }, async () => {
  const { page, asked, wrong, close } = await heard(word(WORDS.down, { before: 0.9, after: 0.9 }))
  await teach(page)
  await page.locator('#file').setInputFiles({ name: 'x.wav', mimeType: 'audio/wav', buffer: wav(word(WORDS.twice, { loud: 0.3 })) })
  await page.locator('#answer', { hasText: 'twice' }).waitFor()
  await page.getByRole('button', { name: 'Listen' }).click()
  await page.locator('#heard li', { hasText: ' s: down' }).first().waitFor()
  await page.screenshot({ path: `${ARTEFACTS}words.png` })
  assert.deepEqual(await faults(page), [])
  await page.getByRole('button', { name: 'Stop' }).click()
  assert.deepEqual(wrong, [])
  assert.deepEqual(asked.filter((url) => !url.startsWith(site.origin) && !/^(blob|data):/.test(url)), [])
  await close()
})

test('a word is recorded, silence and clipping are not', { skip: missing }, async () => {
  for (const [samples, words] of [
    [word(WORDS.up), null], [Array(RATE).fill(0), 'nothing was heard'],
    [word(WORDS.up).map((x) => Math.max(-1, Math.min(1, 9 * x))), 'too loud'],
  ]) {
    const { page, close } = await heard(samples)
    await page.getByRole('button', { name: 'Record word 1' }).click()
    if (words) await page.locator('#status.error', { hasText: words }).waitFor()
    else await page.getByRole('button', { name: 'Remove example 1 of word 1' }).waitFor()
    await close()
  }
})

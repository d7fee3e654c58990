// What adapting gains, in Chromium: the slider, the live signal, one's own recordings; phone, keyboard, dark.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ARTEFACTS, browse, faults, missing, served } from './browser.js'

const BANDS = fileURLToPath(new URL('../../pages/bands/', import.meta.url))
const LEARNED = 5 // the most examples of each class
let site
before(async () => {
  if (!missing) site = await served()
})
after(() => site?.close())

const measured = (page) => page.locator('#chart circle').nth(LEARNED).waitFor()
const share = async (page, id) => parseInt(await page.locator(id).textContent(), 10)
const csv = (name, text) => ({ name, mimeType: 'text/csv', buffer: Buffer.from(text) })

/** The page with every number of examples measured. */
async function opened(how = {}, address = 'gain.html') {
  const browser = await browse(how)
  await browser.page.goto(`${site.origin}/${address}`)
  await measured(browser.page)
  return browser
}

test('examples of each gesture gain, on every person, and all of it is said', { skip: missing }, async () => {
  const { page, asked, wrong, close } = await opened()
  const gains = []
  for (const person of await page.locator('#person option').allTextContents()) {
    await page.locator('#person').selectOption(person)
    await page.locator('#truth', { hasText: person }).waitFor()
    await measured(page)
    await page.locator('#count').fill('0')
    assert.equal(await share(page, '#everybody'), await share(page, '#adapted'), person)
    await page.locator('#count').fill('5')
    gains.push(await share(page, '#adapted') - await share(page, '#everybody'))
    assert.match(await page.locator('#chart svg').getAttribute('aria-label'), /0: \d+ %, 1: \d+ %, .*5: \d+ %$/)
  }
  console.log('gained by five examples of each, in points:', gains.join(', '))
  assert.ok(gains.every((gain) => gain >= 0) && gains.reduce((a, b) => a + b) / gains.length > 5)
  const rows = await page.locator('#classes tr').allTextContents()
  assert.equal(rows.length, 6)
  assert.ok(rows.every((row) => (row.match(/\d of 6/g) ?? []).length === 2), rows.join('; '))
  await page.locator('#strip li').nth(2).waitFor() // it plays by itself
  assert.match(await page.locator('#measured').textContent(), /40 persons .* ± \d\.\d % with 5 of each class\..* above it\.$/)
  await page.screenshot({ path: `${ARTEFACTS}gain.png`, fullPage: true })
  assert.deepEqual(await faults(page), [])
  assert.deepEqual(wrong, [])
  assert.deepEqual(asked.filter((url) => !url.startsWith(site.origin) && !/^(blob|data):/.test(url)), [])
  await close()
})

test('by keyboard, without motion: each example is said aloud', { skip: missing }, async () => {
  const { page, wrong, close } = await opened({ context: { reducedMotion: 'reduce' } })
  await page.locator('#strip li').waitFor()
  await page.locator('#count').focus()
  for (const key of ['ArrowRight', 'ArrowRight']) await page.keyboard.press(key)
  assert.equal(await page.locator('#count').getAttribute('aria-valuetext'), '3 of each class')
  await page.locator('#next').focus()
  await page.keyboard.press('Enter')
  await page.locator('#strip li').nth(1).waitFor()
  const words = await page.locator('#aloud').textContent()
  assert.match(words, /^\w+: everybody’s says \w+, (right|wrong); adapted says \w+, (right|wrong)$/)
  assert.equal(await page.locator('#play').textContent(), 'Play') // nothing moves unasked
  await page.locator('#play').press('Enter')
  await page.locator('#strip li').nth(3).waitFor()
  await page.locator('#play').press('Enter')
  assert.equal(await page.locator('#play').textContent(), 'Play')
  assert.deepEqual(wrong, [])
  await close()
})

test('on a phone in the dark', { skip: missing }, async () => {
  const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'dark', hasTouch: true, isMobile: true, deviceScaleFactor: 2 }
  const { page, wrong, close } = await opened({ context: phone })
  await page.locator('#strip li').first().waitFor()
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  assert.ok(wide <= 0, `the page is ${wide} pixels wider than the phone`)
  await page.screenshot({ path: `${ARTEFACTS}gain-phone-dark.png`, fullPage: true })
  assert.deepEqual(await faults(page), [])
  assert.deepEqual(wrong, [])
  await close()
})

test("one's own recordings, and what is wrong with them", { skip: missing }, async () => {
  const { page, wrong, close } = await opened()
  const own = readFileSync(`${BANDS}person-81.csv`, 'utf8')
  const files = page.locator('#files')
  await files.setInputFiles(csv('mine.csv', own))
  await page.locator('#truth', { hasText: 'mine.csv' }).waitFor()
  await measured(page)
  const mine = await share(page, '#adapted')
  await page.locator('#person').selectOption('person 81')
  await page.locator('#truth', { hasText: 'person 81' }).waitFor()
  await measured(page)
  assert.equal(await share(page, '#adapted'), mine)
  const lines = own.split('\n')
  for (const [text, words] of [
    [own.replace('fist', 'fists'), 'line 2 of x.csv is labelled "fists"; the classes are fist,'],
    [lines.map((line) => line.replace(/,[^,]*$/, '')).join('\n'), 'x.csv has 7 columns of readings, wanted 8'],
    [own.replace(/^fist,1,[^,]*/m, 'fist,1,much'), 'line 2 of x.csv has "much" where a number belongs'],
    [lines.filter((line) => !/^\w+,[234],/.test(line)).join('\n'), 'fist is in 1 recording alone; two at least'],
    [lines.map((line) => line.replace(/^[^,]*,/, '')).join('\n'), 'x.csv does not say which class it is of'],
    ['', 'x.csv has 1 columns of readings, wanted 8'],
  ]) {
    await files.setInputFiles(csv('x.csv', text))
    await page.locator('#status.error', { hasText: words }).waitFor()
  }
  assert.deepEqual(wrong, [])
  await close()
})

test('another package waits for recordings, and takes a part of its classes', { skip: missing }, async () => {
  const { page, wrong, close } = await browse()
  await page.goto(`${site.origin}/gain.html?package=activity-personal`)
  await page.locator('#status', { hasText: 'open recordings of somebody who does seated,' }).waitFor()
  const row = (label, recording, k) => {
    const turn = 0.1 * Math.sin(k / 5 + recording)
    const walks = label === 'walking' ? Math.sin(k / 4) : 0
    return [label, recording, k / 50, ...[9.8 + 3 * walks, turn, 0.3 + walks, turn, 0.2 * walks, 0.01 * k % 0.3]].join(';')
  }
  const made = ['label;recording;time;ax;ay;az;rx;ry;rz']
  for (const label of ['seated', 'walking']) {
    for (const recording of [1, 2, 3, 4]) for (let k = 0; k < 120; k++) made.push(row(label, recording, k))
  }
  await page.locator('#files').setInputFiles(csv('walk.csv', made.join('\n')))
  await page.locator('#truth', { hasText: 'walk.csv' }).waitFor()
  assert.match((await page.locator('#classes tr').allTextContents()).join(' '), /walking.*\d of 4\d of 4/)
  assert.equal(await page.locator('#count').getAttribute('max'), '4')
  assert.deepEqual(wrong, [])
  await close()
})

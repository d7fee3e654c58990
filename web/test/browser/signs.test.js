// Teach it your signs, in Chromium: by mouse, touch and keyboard, light and dark, on a phone, offline.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { SIGNS } from '../../pages/ink.js'
import { ARTEFACTS, browse, draw, faults, missing, served } from './browser.js'

let site
before(async () => {
  if (!missing) site = await served()
})
after(() => site?.close())

const shaken = (strokes, by = 0.02) => strokes.map((stroke) =>
  stroke.map(([x, y], i) => [x + by * Math.sin(3 * i + 1), y + by * Math.cos(5 * i)]))
const boxes = (page) => page.locator('#cards .pad')
const ready = (page) => page.locator('#status', { hasText: 'draw in two boxes' }).waitFor()
const answered = (page, words) => page.locator('#answer', { hasText: words }).waitFor()
const learned = (page, count) => page.locator('#status', { hasText: `Learned ${count} signs` }).waitFor()

async function teach(page, names = ['house', 'spiral', 'star']) {
  for (const [i, name] of names.entries()) {
    const card = page.locator('#cards .card').nth(i)
    await card.getByLabel('Name of the sign').fill(name)
    await card.getByLabel('Name of the sign').press('Enter')
    await draw(page, boxes(page).nth(i), SIGNS[name])
  }
  await learned(page, names.length)
}

test('three signs drawn once each are told apart, and a wave is none of these', { skip: missing }, async () => {
  const { page, asked, wrong, close } = await browse()
  await page.goto(site.origin)
  await ready(page)
  const loaded = await page.evaluate(() => performance.now())
  await teach(page)
  const question = page.locator('#question .pad')
  for (const name of ['spiral', 'star', 'house']) {
    await page.getByRole('button', { name: 'Clear', exact: true }).click()
    await draw(page, question, shaken(SIGNS[name]))
    await answered(page, name)
    assert.ok(await page.locator('#bars .best .share', { hasText: '%' }).isVisible())
  }
  await page.screenshot({ path: `${ARTEFACTS}signs.png` })
  await page.getByRole('button', { name: 'Clear', exact: true }).click()
  await draw(page, question, SIGNS.wave)
  await answered(page, 'none of these')
  assert.equal((await page.locator('#bars .share').allTextContents()).join(''), '')
  await page.screenshot({ path: `${ARTEFACTS}signs-none.png` })
  const long = await page.evaluate((since) => globalThis.longTasks.filter((task) => task.startTime > since), loaded)
  console.log('long tasks of the page after loading, [start, ms]:', JSON.stringify(long.map(({ startTime, duration }) => [startTime, duration])))
  assert.deepEqual(await faults(page), [])
  assert.deepEqual(wrong, [])
  assert.deepEqual(asked.filter((url) => !url.startsWith(site.origin) && !/^(blob|data):/.test(url)), [])
  await close()
})

test('add, remove, undo, save and open', { skip: missing }, async () => {
  const { page, wrong, close } = await browse()
  await page.goto(site.origin)
  await ready(page)
  await teach(page)
  await page.getByRole('button', { name: 'Keep this drawing of house and draw another' }).click()
  await draw(page, boxes(page).first(), shaken(SIGNS.house))
  await page.locator('#status', { hasText: 'from 4 drawings' }).waitFor()
  await page.getByRole('button', { name: 'Remove drawing 1 of house' }).click()
  await page.locator('#status', { hasText: 'from 3 drawings' }).waitFor()
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.locator('#status', { hasText: 'from 4 drawings' }).waitFor()
  await page.getByRole('button', { name: 'Add a sign' }).click()
  assert.equal(await boxes(page).count(), 4)
  await page.getByRole('button', { name: 'Remove sign 4' }).click()
  assert.equal(await boxes(page).count(), 3)
  const saving = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Save' }).click()
  const file = await (await saving).path()
  await page.reload()
  await ready(page)
  await page.locator('#open').setInputFiles({ name: 'signs.npz', mimeType: 'application/octet-stream', buffer: (await import('node:fs')).readFileSync(file) })
  await page.locator('#status', { hasText: 'Opened signs.npz: 3 signs' }).waitFor()
  await draw(page, page.locator('#question .pad'), shaken(SIGNS.star))
  await answered(page, 'star')
  await page.locator('#open').setInputFiles({ name: 'no.npz', mimeType: 'application/octet-stream', buffer: Buffer.from('not a task') })
  await page.locator('#status.error', { hasText: 'the task is not a whole archive' }).waitFor()
  assert.deepEqual(wrong, [])
  await close()
})

test('by keyboard alone', { skip: missing }, async () => {
  const { page, close } = await browse()
  await page.goto(site.origin)
  await ready(page)
  const stroke = async (box, keys) => {
    await box.focus()
    await page.keyboard.press('Space')
    for (const key of keys) await page.keyboard.press(key)
    await page.keyboard.press('Space')
  }
  const [right, down, left, up] = ['Right', 'Down', 'Left', 'Up'].map((way) => Array(5).fill(`Arrow${way}`))
  await stroke(boxes(page).nth(0), [...right, ...down, ...left, ...up])
  await stroke(boxes(page).nth(1), [...right, ...right])
  await learned(page, 2)
  await stroke(page.locator('#question .pad'), [...right, ...down, ...left, ...up])
  await page.locator('#answer:not(.idle)').waitFor()
  await page.locator('#aloud', { hasText: /percent|none of these/ }).waitFor({ state: 'attached' })
  await close()
})

test('on a phone in the dark, by touch', { skip: missing }, async () => {
  const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'dark', hasTouch: true, isMobile: true, deviceScaleFactor: 2 }
  const { page, wrong, close } = await browse({ context: phone })
  await page.goto(site.origin)
  await ready(page)
  await page.getByRole('button', { name: 'Show me: fill in ours' }).tap()
  await learned(page, 4)
  await answered(page, 'none of these')
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  assert.ok(wide <= 0, `the page is ${wide} pixels wider than the phone`)
  await page.screenshot({ path: `${ARTEFACTS}signs-phone-dark.png`, fullPage: true })
  assert.deepEqual(await faults(page), [])
  assert.deepEqual(wrong, [])
  await close()
})

test('the second visit needs no network', { skip: missing }, async () => {
  const { page, context, close } = await browse()
  await page.goto(site.origin)
  await ready(page)
  await page.evaluate(() => navigator.serviceWorker.ready)
  await page.reload() // what came before the service worker was there is fetched through it
  await ready(page)
  await context.setOffline(true)
  await page.reload()
  await ready(page)
  await teach(page)
  await close()
})

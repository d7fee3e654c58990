// Teach it your things, in Chromium: it asks before it loads, and says what to do where there is nothing.
//
// HANDFUL_PHOTOS is the folder of a package of photographs, which `handful photos` makes; without it the
// test of the camera is not run, and says so.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ARTEFACTS, browse, faults, missing, served } from './browser.js'

const photos = process.env.HANDFUL_PHOTOS
const flags = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream']

test('without a package of photographs it says how to make one', { skip: missing }, async () => {
  const site = await served()
  const { page, wrong, close } = await browse()
  await page.goto(`${site.origin}/things.html`)
  await page.locator('#none', { hasText: 'handful photos' }).waitFor()
  assert.deepEqual(await faults(page), [])
  assert.deepEqual(wrong, [])
  await close()
  site.close()
})

test('photographs and a camera', { skip: missing || (!photos && 'HANDFUL_PHOTOS names no package') }, async () => {
  const site = await served(photos)
  const { page, asked, wrong, close } = await browse({ flags })
  await page.goto(site.address)
  await page.getByRole('button', { name: 'Load' }).waitFor()
  assert.ok(!asked.some((url) => url.includes('.onnx')), 'it loads before one asks')
  await page.getByRole('button', { name: 'Load' }).click()
  await page.locator('#status', { hasText: 'examples of two things' }).waitFor()
  await page.getByRole('button', { name: 'Camera' }).click()
  await page.getByRole('button', { name: 'Take a picture of thing 1' }).click()
  const picture = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 300, height: 200 })
    const context = canvas.getContext('2d')
    context.fillStyle = '#a33'
    context.fillRect(0, 0, 300, 200)
    context.fillStyle = '#fff'
    for (let i = 0; i < 12; i++) context.fillRect(25 * i, 0, 8, 200)
    return canvas.toDataURL().split(',')[1]
  })
  await page.locator('#cards .card').nth(1).locator('input[type=file]').setInputFiles(
    { name: 'x.png', mimeType: 'image/png', buffer: Buffer.from(picture, 'base64') })
  await page.locator('#status', { hasText: 'Learned 2 things' }).waitFor()
  await page.locator('#answer', { hasText: 'thing 1' }).waitFor()
  await page.screenshot({ path: `${ARTEFACTS}things.png` })
  assert.deepEqual(await faults(page), [])
  assert.deepEqual(wrong, [])
  await close()
  site.close()
})

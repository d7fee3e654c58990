// The README's picture: `node web/test/browser/picture.js` draws signs on the page as a hand would.
import { SIGNS } from '../../pages/ink.js'
import { browse, draw, missing, served } from './browser.js'

if (missing) process.exit(1)
const FILE = new URL('../../../docs/signs.jpg', import.meta.url).pathname

/** A sign as a hand draws it: bent, turned and trembling a little. */
const byHand = (strokes, seed) => strokes.map((stroke) => {
  const points = stroke.flatMap((to, i) => {
    const from = stroke[Math.max(0, i - 1)]
    const steps = Math.max(1, Math.round(Math.hypot(to[0] - from[0], to[1] - from[1]) / 0.05))
    return Array.from({ length: steps }, (_, k) => [0, 1].map((axis) => from[axis] + (to[axis] - from[axis]) * (k + 1) / steps))
  })
  return points.map(([x, y], i) => [
    0.5 + (x - 0.5) * (0.92 + 0.05 * Math.sin(seed)) + 0.03 * Math.sin(5 * y + seed) + 0.004 * Math.sin(2.1 * i),
    0.5 + (y - 0.5) * (0.92 - 0.05 * Math.sin(seed)) + 0.03 * Math.sin(4 * x + 2 * seed) + 0.004 * Math.cos(1.7 * i),
  ])
})

const site = await served()
const { page, close } = await browse({ context: { viewport: { width: 1060, height: 760 }, deviceScaleFactor: 1.5 } })
await page.goto(site.origin)
await page.locator('#status', { hasText: 'draw in two boxes' }).waitFor()
await page.getByRole('button', { name: 'Add a sign' }).click()
for (const [i, name] of ['house', 'spiral', 'star', 'fish'].entries()) {
  const card = page.locator('#cards .card').nth(i)
  await card.getByLabel('Name of the sign').fill(name)
  await card.getByLabel('Name of the sign').press('Enter')
  await draw(page, card.locator('.pad'), byHand(SIGNS[name], i))
}
await draw(page, page.locator('#question .pad'), byHand(SIGNS.star, 7))
await page.locator('#answer', { hasText: 'star' }).waitFor()
await page.locator('#status', { hasText: 'Learned 4 signs' }).waitFor()
await page.mouse.move(5, 5)
await page.evaluate(() => document.activeElement?.blur())
await page.waitForTimeout(400)
await page.screenshot({ path: FILE, type: 'jpeg', quality: 82, clip: { x: 0, y: 0, width: 1060, height: 715 } })
await close()
site.close()

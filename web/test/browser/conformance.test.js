// Every shipped package computes in Chromium, in its worker, what its trainer did.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { oneFile, SHIPPED } from '../shipped.js'
import { browse, missing, served } from './browser.js'

let site, browser
before(async () => {
  if (missing) return
  site = await served()
  browser = await browse()
  await browser.page.goto(site.origin)
})
after(async () => {
  await browser?.close()
  site?.close()
})

for (const name of SHIPPED) {
  test(`${name} conforms`, { skip: missing }, async () => {
    const packed = Buffer.from(oneFile(name)).toString('base64')
    const report = await browser.page.evaluate(async (text) => {
      const { load } = await import('./handful/browser.js')
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
      const learner = await load(bytes, { runtime: 'ort/', prepare: false })
      const found = await learner.verify()
      learner.dispose()
      return found
    }, packed)
    assert.deepEqual(report.failed, [])
    assert.ok(report.compared.length > 4)
    const worst = Math.max(...report.compared.map(({ difference, tolerance }) => difference / tolerance))
    console.log(`${name}: ${report.compared.length} vectors, at most ${worst.toFixed(3)} of their tolerance`)
  })
}

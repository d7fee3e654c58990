// A program for tests/web: `node answers.js ASK.json FOLDER...` adapts packages in Chromium, and asks them.
//
// The file has {support, labels, queries}, examples as lists; for each package a line of JSON: {logits}.
import { readFileSync } from 'node:fs'
import { oneFile } from '../shipped.js'
import { browse, missing, served } from './browser.js'

if (missing) process.exit(1)
const [ask, ...folders] = process.argv.slice(2)
const site = await served()
const { page, close } = await browse()
await page.goto(site.origin)
for (const folder of folders) {
  const logits = await page.evaluate(async ({ text, support, labels, queries }) => {
    const { load } = await import('./handful/browser.js')
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
    const learner = await load(bytes, { runtime: 'ort/', warn: () => {} })
    const found = await (await learner.adapt(support, labels)).logits(queries)
    learner.dispose()
    return found.map((row) => Array.from(row))
  }, { text: Buffer.from(oneFile('', `${folder}/`)).toString('base64'), ...JSON.parse(readFileSync(ask, 'utf8')) })
  console.log(JSON.stringify({ logits }))
}
await close()
site.close()

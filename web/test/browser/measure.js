// The bars of the page of signs, measured: `node test/browser/measure.js [VISITS]` prints JSON.
//
// Each visit is a new browser process with the files of an earlier visit kept by the service worker. Times
// are from the page's beginning to its first answer, and medians of adapting to five signs and of asking.
import { writeFileSync } from 'node:fs'
import { SIGNS } from '../../pages/ink.js'
import { ARTEFACTS, browse, missing, served } from './browser.js'

if (missing) process.exit(1)
const visits = Number(process.argv[2] ?? 5)
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]
const site = await served()
const { page, close } = await browse()
const found = []
for (let visit = 0; visit <= visits; visit++) {
  await page.goto('about:blank')
  await page.goto(site.origin)
  const first = await page.evaluate(async () => {
    document.querySelector('#ours').click() // four signs, and a question
    await new Promise((resolve) => {
      const look = () => document.querySelector('#answer.idle') ? setTimeout(look, 5) : resolve()
      look()
    })
    return performance.now()
  })
  await page.evaluate(() => navigator.serviceWorker.ready)
  const times = await page.evaluate(async ({ signs }) => {
    const { load } = await import('./handful/browser.js')
    const { toPicture } = await import('./ink.js')
    const learner = await load('packages/omniglot-leo/', { runtime: 'ort/' })
    await learner.prepare()
    const pairs = Object.entries(signs).map(([name, strokes]) => [name, [toPicture(strokes)]])
    const query = toPicture(signs.star)
    const timed = async (act) => {
      const times = []
      for (let i = 0; i < 30; i++) {
        const began = performance.now()
        await act()
        times.push(performance.now() - began)
      }
      return times
    }
    let task = await learner.adapt(pairs)
    const adapt = await timed(async () => { task = await learner.adapt(pairs) })
    const predict = await timed(() => task.predict(query, { unknown: 0.05 }))
    learner.dispose()
    return { adapt, predict }
  }, { signs: SIGNS })
  const long = await page.evaluate(() => globalThis.longTasks)
  if (visit) found.push({ first, adapt: median(times.adapt), predict: median(times.predict), long: long.map(({ startTime, duration }) => [Math.round(startTime), Math.round(duration)]) })
}
const sum = Object.fromEntries(['first', 'adapt', 'predict'].map((key) => [key, Math.round(10 * median(found.map((one) => one[key]))) / 10]))
console.log(JSON.stringify({ ...sum, visits: found }, null, 1))
writeFileSync(`${ARTEFACTS}measured.json`, JSON.stringify(found))
await close()
site.close()

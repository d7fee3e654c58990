// The bars of the page of signs, measured: `node test/browser/measure.js [VISITS]` prints JSON, and keeps it.
//
// Each visit opens the page anew with the files of an earlier visit kept by the service worker. Times are
// in milliseconds, from the page's beginning to its first answer, and medians of adapting to five signs and
// of asking. Then signs are drawn by mouse, and of the longest task of the main thread meanwhile both times
// are given: on the clock, which other processes lengthen, and of the processor.
import { writeFileSync } from 'node:fs'
import { SIGNS } from '../../pages/ink.js'
import { ARTEFACTS, browse, draw, missing, served } from './browser.js'

if (missing) process.exit(1)
const visits = Number(process.argv[2] ?? 5)
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]
const tenths = (ms) => Math.round(10 * ms) / 10

/** From opening the page to an answer: four signs are filled in, and a question. */
async function first(page) {
  await page.goto('about:blank')
  await page.goto(site.origin)
  const took = await page.evaluate(async () => {
    document.querySelector('#ours').click()
    await new Promise((resolve) => {
      const look = () => document.querySelector('#answer.idle') ? setTimeout(look, 5) : resolve()
      look()
    })
    return performance.now()
  })
  await page.evaluate(() => navigator.serviceWorker.ready)
  return took
}

/** Times of adapting and asking, through the worker. */
const calls = (page) => page.evaluate(async ({ signs }) => {
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

/** The longest task of the main thread while signs are drawn: {clock, processor}. */
async function longest(context, page) {
  const client = await context.newCDPSession(page)
  const events = []
  client.on('Tracing.dataCollected', ({ value }) => events.push(...value))
  const done = new Promise((resolve) => client.once('Tracing.tracingComplete', resolve))
  await client.send('Tracing.start', { transferMode: 'ReportEvents', categories: 'toplevel,devtools.timeline' })
  for (const [i, name] of ['house', 'spiral', 'star'].entries()) {
    await draw(page, page.locator('#cards .pad').nth(i), SIGNS[name])
  }
  await draw(page, page.locator('#question .pad'), SIGNS.spiral)
  await page.waitForTimeout(1000)
  await client.send('Tracing.end')
  await done
  const threads = events.filter(({ ph, name, args }) => ph === 'M' && name === 'thread_name' && args.name === 'CrRendererMain')
  const tasks = events.filter(({ ph, name, pid, tid }) => ph === 'X' && name.endsWith('RunTask')
    && threads.some((thread) => thread.pid === pid && thread.tid === tid))
  const most = (key) => tenths(Math.max(...tasks.map((task) => task[key] ?? 0)) / 1000)
  return { clock: most('dur'), processor: most('tdur') }
}

const site = await served()
const { context, page, close } = await browse()
const found = []
for (let visit = 0; visit <= visits; visit++) {
  const took = await first(page)
  const { adapt, predict } = await calls(page)
  if (visit) found.push({ first: took, adapt: median(adapt), predict: median(predict) })
}
await first(page)
const sum = Object.fromEntries(['first', 'adapt', 'predict'].map((key) => [key, tenths(median(found.map((one) => one[key])))]))
const text = JSON.stringify({ ...sum, longest: await longest(context, page), visits: found }, null, 1)
console.log(text)
writeFileSync(`${ARTEFACTS}measured.json`, text)
await close()
site.close()

// A Chromium on the pages as `handful demo` serves them, with eyes on what the bars of the pages are.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
]
const PATIENCE = 120_000 // milliseconds that a test waits, where many others have the processor
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const PYTHON = process.env.HANDFUL_PYTHON ?? join(ROOT, '.venv/bin/python')
const python = (...given) => [PYTHON, ['-m', 'handful', ...given], { cwd: tmpdir(), env: { ...process.env, PYTHONPATH: join(ROOT, '.editable') } }]

/** Why the pages cannot be tried here; false where they can. */
export const missing = !existsSync(CHROMIUM) ? `no Chromium at ${CHROMIUM}`
  : spawnSync(...python('--version')).status !== 0 ? `no Python with handful at ${PYTHON}` : false
if (missing) console.error(`NOT RUN: the pages, ${missing}`)

export const ARTEFACTS = join(ROOT, 'web/test/artefacts/')
mkdirSync(ARTEFACTS, { recursive: true })

/** The pages, served by `handful demo`; `package` as on its command line. */
export async function served(...given) {
  const runtime = join(ROOT, 'web/node_modules/onnxruntime-web/dist')
  const server = spawn(...python('demo', ...given, '--port', '0', '--no-open', '--runtime', runtime))
  server.stderr.pipe(process.stderr)
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: server.stdout }).once('line', resolve)
    server.once('exit', (code) => reject(new Error(`handful demo ended with ${code}`)))
  })
  const address = new URL(line)
  return { origin: address.origin, address: address.href, close: () => server.kill('SIGTERM') }
}

/**
 * A browser of its own, and what its pages asked for, threw and said.
 * @param {{flags?: string[], context?: object}} [how]
 */
export async function browse({ flags = [], context: options = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'handful-chromium-'))
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: CHROMIUM, args: [...FLAGS, ...flags], viewport: { width: 1180, height: 820 }, ...options,
  })
  context.setDefaultTimeout(PATIENCE)
  const asked = []
  const wrong = []
  context.on('request', (request) => asked.push(request.url()))
  context.on('weberror', (error) => wrong.push(String(error.error())))
  context.on('console', (message) => {
    if (message.type() === 'error') wrong.push(message.text())
  })
  await context.addInitScript(() => {
    globalThis.longTasks = []
    new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) globalThis.longTasks.push({ startTime, duration })
    }).observe({ type: 'longtask', buffered: true })
  })
  const close = async () => {
    await context.close()
    rmSync(folder, { recursive: true, force: true })
  }
  return { context, page: context.pages()[0] ?? await context.newPage(), asked, wrong, close }
}

/** Draws strokes, points from 0 to 1, in a box with the mouse. */
export async function draw(page, box, strokes) {
  await box.scrollIntoViewIfNeeded()
  const { x, y, width, height } = await box.boundingBox()
  for (const stroke of strokes) {
    const at = stroke.map(([u, v]) => [x + u * width, y + v * height])
    await page.mouse.move(...at[0])
    await page.mouse.down()
    for (const point of at.slice(1)) await page.mouse.move(...point, { steps: 4 })
    await page.mouse.up()
  }
}

/** The faults that axe-core finds on a page. */
export async function faults(page) {
  const axe = join(ROOT, 'web/node_modules/axe-core/axe.min.js')
  await page.evaluate((await import('node:fs')).readFileSync(axe, 'utf8'))
  const { violations } = await page.evaluate(() => globalThis.axe.run(document))
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(' | ')}`)
}

// Keeps every file by its hash, so that the second visit needs no network, and a new file is fetched once.
//
// files.json says which file has which hash; it alone is asked for anew where there is a network. What
// comes from the server is kept only if it has the hash that is listed.

const KEPT = 'handful'
const LIST = new URL('files.json', location.href).href
/** @type {Promise<Record<string, string>> | null} */
let listed = null

/** Where a file is kept: under its hash, whatever it is called. @param {string} hash */
const place = (hash) => new URL(`kept/${hash}`, location.href).href

async function list() {
  const cache = await caches.open(KEPT)
  try {
    const response = await fetch(LIST, { cache: 'no-cache' })
    if (!response.ok) throw new Error(`files.json: ${response.status}`)
    await cache.put(LIST, response.clone())
    const { files } = await response.json()
    const wanted = new Set([LIST, ...Object.values(files).map((hash) => place(String(hash)))])
    for (const { url } of await cache.keys()) if (!wanted.has(url)) await cache.delete(url)
    return files
  } catch (error) {
    const known = await cache.match(LIST)
    if (!known) throw error
    return (await known.json()).files
  }
}

/** @param {Request} request @param {string} hash */
async function answer(request, hash) {
  const cache = await caches.open(KEPT)
  const known = await cache.match(place(hash))
  if (known) return known
  const response = await fetch(request)
  if (!response.ok) return response
  const bytes = await response.clone().arrayBuffer()
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
  if (found === hash) await cache.put(place(hash), response.clone())
  return response
}

addEventListener('install', () => /** @type {any} */ (self).skipWaiting())
addEventListener('activate', (event) => /** @type {any} */ (event).waitUntil(/** @type {any} */ (self).clients.claim()))
addEventListener('fetch', (event) => {
  const { request, respondWith } = /** @type {any} */ (event)
  const url = new URL(request.url)
  const base = new URL('./', location.href)
  if (request.method !== 'GET' || !url.href.startsWith(base.href) || url.href === LIST) return
  const path = decodeURIComponent(url.pathname.slice(base.pathname.length)) || 'index.html'
  if (request.mode === 'navigate') listed = list() // each visit asks once which files there are
  respondWith.call(event, (listed ??= list()).then(
    (files) => Object.hasOwn(files, path) ? answer(request, files[path]) : fetch(request),
    () => fetch(request)))
})

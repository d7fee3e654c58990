// A picture of what examples gain: the share that is right over their number, as SVG.

const NS = 'http://www.w3.org/2000/svg'
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [190, 52, 12, 12, 30]

/** @param {string} name @param {Record<string, string | number>} how @param {string} [words] */
function shape(name, how, words) {
  const made = document.createElementNS(NS, name)
  for (const [key, value] of Object.entries(how)) made.setAttribute(key, String(value))
  if (words !== undefined) made.textContent = words
  return made
}

/**
 * Everybody's share as a level line, the adapted ones' as points and a line.
 * @param {Element} place
 * @param {(number | undefined)[]} shares right of all, by the number of examples; the first is everybody's
 * @param {number} chosen number of examples
 */
export function drawGain(place, shares, chosen) {
  const width = Math.max(240, place.clientWidth)
  const known = shares.filter((share) => share !== undefined)
  const least = Math.max(0, Math.floor(10 * Math.min(0.9, ...known) - 0.5) / 10)
  const x = (/** @type {number} */ n) => LEFT + 14 + n / Math.max(1, shares.length - 1) * (width - LEFT - RIGHT - 28)
  const y = (/** @type {number} */ share) => TOP + (1 - share) / (1 - least) * (HEIGHT - TOP - BOTTOM)
  const words = shares.map((share, n) => share === undefined ? '' : `${n}: ${Math.round(100 * share)} %`).filter(Boolean)
  const svg = shape('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': `Right, by examples of each class: ${words.join(', ')}` })
  const step = least < 0.5 ? 25 : 10
  for (let share = 100; share >= 100 * least; share -= step) {
    svg.append(shape('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(share / 100), y2: y(share / 100) }),
      shape('text', { x: LEFT - 6, y: y(share / 100) + 4, 'text-anchor': 'end' }, `${share} %`))
  }
  svg.append(shape('line', { class: 'chosen', x1: x(chosen), x2: x(chosen), y1: TOP, y2: HEIGHT - BOTTOM }))
  shares.forEach((_, n) => svg.append(shape('text', { x: x(n), y: HEIGHT - 10, 'text-anchor': 'middle' }, String(n))))
  const [everybody] = shares
  if (everybody !== undefined) {
    svg.append(shape('line', { class: 'theirs', x1: LEFT, x2: width - RIGHT, y1: y(everybody), y2: y(everybody) }))
  }
  const points = shares.flatMap((share, n) => share === undefined ? [] : [[x(n), y(share)]])
  svg.append(shape('polyline', { class: 'own', points: points.map((point) => point.join()).join(' ') }))
  shares.forEach((share, n) => {
    if (share !== undefined) svg.append(shape('circle', { class: n === chosen ? 'own now' : 'own', cx: x(n), cy: y(share), r: n === chosen ? 7 : 5 }))
  })
  place.replaceChildren(svg)
}

// Adapting and asking: the same words as in Python, one example gives one answer, a list a list.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { AdaptError, SupportSetError } from '../src/node.js'
import { golden, SHIPPED, shipped } from './shipped.js'

let leo, few
before(async () => {
  leo = await shipped('omniglot-leo')
  few = await golden('omniglot-leo')
})

const near = (a, b, most = 1e-5) => a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) <= most))
const group = (labels, examples) =>
  [...new Set(labels)].map((label) => [label, examples.filter((_, i) => labels[i] === label)])

test('one example gives one answer, a list a list', async () => {
  const task = await leo.adapt(few.support, few.labels)
  const one = await task.predict(few.queries[0])
  const all = await task.predict(few.queries)
  assert.equal(all.length, few.queries.length)
  assert.equal(one.label, all[0].label)
  assert.ok(task.classes.includes(one.label))
  const sum = [...one.probabilities.values()].reduce((a, b) => a + b)
  assert.ok(Math.abs(sum - 1) < 1e-9)
  assert.equal(one.probability, Math.max(...one.probabilities.values()))
  assert.deepEqual(await task.predict([]), [])
})

test('pairs, a Map, and examples with labels are the same task', async () => {
  const pairs = group(few.labels, few.support)
  const wanted = await (await leo.adapt(few.support, few.labels)).logits(few.queries[0])
  near(await (await leo.adapt(pairs)).logits(few.queries[0]), wanted)
  near(await (await leo.adapt(new Map(pairs))).logits(few.queries[0]), wanted)
  await assert.rejects(leo.adapt(Object.fromEntries(pairs)), SupportSetError)
})

test('classes stay in the order in which they came, "7" too', async () => {
  const [a, b] = few.support
  assert.deepEqual((await leo.adapt([['b', [a]], ['7', [b]]])).classes, ['b', '7'])
})

test('a probability never stands beside none of these', async () => {
  const task = await leo.adapt(few.support, few.labels)
  const noise = Array.from({ length: 20 }, (_, i) =>
    Float32Array.from({ length: 784 }, (__, k) => Math.sin(k * k + i) > 0.8 ? 1 : 0))
  const answers = await task.predict([...noise, ...few.queries], { unknown: 0.05, coverage: 0.95 })
  const [none, some] = [answers.filter((a) => a.label === null), answers.filter((a) => a.label !== null)]
  assert.ok(none.length > 5 && some.length > 3)
  for (const answer of none) assert.ok(!('probability' in answer))
  for (const answer of some) assert.equal(answer.labels[0], answer.label)
})

test('a query with nothing in it is none of the classes, and it is said', async () => {
  const task = await leo.adapt(few.support, few.labels)
  const { length } = leo.warnings
  const answer = await task.predict(new Float32Array(784), { unknown: 0.5 })
  assert.equal(answer.label, null)
  assert.match(leo.warnings[length].message, /^the query has nothing in it: one colour all over/)
})

test('shots may be uneven; add and remove adapt again', async () => {
  const [a, b, c] = group(few.labels, few.support)
  const task = await leo.adapt([a, [b[0], b[1].slice(0, 1)]])
  assert.deepEqual([...task.counts.values()], [a[1].length, 1])
  const more = await task.add([c, [a[0], few.queries.slice(0, 1)]])
  assert.deepEqual([...more.counts.values()], [a[1].length + 1, 1, c[1].length])
  const fewer = await more.remove(a[0])
  assert.deepEqual(fewer.classes, [b[0], c[0]])
  assert.deepEqual(task.classes, [a[0], b[0]])
  await assert.rejects(fewer.remove('nothing'), SupportSetError)
})

test('answers of a batch are those one by one', async () => {
  const task = await leo.adapt(few.support, few.labels)
  const together = await task.logits(few.queries)
  for (const [i, query] of few.queries.entries()) near(await task.logits(query), together[i], 1e-4)
})

test('examples of none of the classes raise the threshold', async () => {
  const task = await leo.adapt(few.support, few.labels)
  const others = few.queries.slice(0, 5)
  const strict = await task.withNegatives(others)
  const answers = await strict.predict(others, { unknown: 0.05 })
  assert.deepEqual(answers.map((answer) => answer.label), others.map(() => null))
})

test('draws of noise follow from their seed', async () => {
  const draws = { samples: 4, seed: 3 }
  const task = await leo.adapt(few.support, few.labels, draws)
  const again = await leo.adapt(group(few.labels, few.support), draws)
  const spread = await task.uncertainty(few.queries[0])
  near(spread, await again.uncertainty(few.queries[0]))
  assert.ok(Math.max(...spread) > 0)
  await assert.rejects((await shipped('omniglot-maml')).adapt(few.support, few.labels, draws), AdaptError)
})

test('a regression gives its outputs', async () => {
  const learner = await shipped('sensor-maml')
  const { support, y, queries } = await golden('sensor-maml')
  const task = await learner.adapt(support, y.map((row) => Array.from(row)))
  const outputs = await task.predict(queries)
  assert.equal(outputs.length, queries.length)
  near(outputs[0], await task.outputs(queries[0]))
  await assert.rejects(task.predict(queries, { unknown: 0.05 }), AdaptError)
})

for (const name of SHIPPED) {
  test(`a saved task of ${name} gives the same answers`, async () => {
    const learner = await shipped(name)
    const { support, y, labels, queries } = await golden(name)
    const { task: kind } = learner.manifest
    if (kind === 'policy') {
      const [actions, advantages] = [y.map((row) => [...row.slice(0, -1)]), y.map((row) => row.at(-1))]
      const task = await learner.adapt({ observations: support.map((row) => [...row]), actions, advantages })
      const again = await learner.loadTask(await task.save())
      return assert.deepEqual(await again.act(queries), await task.act(queries))
    }
    const regression = kind === 'regression'
    const task = await learner.adapt(support, regression ? y.map((row) => Array.from(row)) : labels)
    const again = await learner.loadTask(await task.save())
    assert.deepEqual(await again.predict(queries), await task.predict(queries))
  })
}

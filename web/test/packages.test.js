// Every shipped package computes here what its trainer did: golden vectors, pictures, sounds, series.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load, verify } from '../src/node.js'
import { oneFile, SHIPPED, shipped } from './shipped.js'

for (const name of SHIPPED) {
  test(`${name} conforms`, async () => {
    const report = await verify(await shipped(name))
    assert.deepEqual(report.failed, [])
    assert.ok(report.compared.length > 4)
    const { kind, whole, rate } = (await shipped(name)).input
    const prepares = kind !== 'array' || whole || rate // else an example is taken as it comes
    const prepared = report.compared.filter((one) => /^(picture|sound|series)/.test(one.name))
    assert.equal(prepared.length, prepares ? 2 : 0)
    for (const one of prepared) assert.ok(one.difference <= 1e-6, one.name)
  })
}

test('a package that was altered does not conform', async () => {
  const learner = await load(oneFile('omniglot-prototypical'))
  learner.manifest.input.interpolation = 'box'
  const report = await verify(learner)
  assert.deepEqual(report.failed, ['picture/0/x', 'picture/1/x'])
})

test('a package is one file, or bytes, as it is a folder', async () => {
  const bytes = oneFile('omniglot-leo')
  const learner = await load(bytes)
  assert.equal(learner.name, 'omniglot-leo')
  assert.equal(learner.identity, (await shipped('omniglot-leo')).identity)
  assert.ok((await verify(await load(new Blob([bytes])))).ok)
})

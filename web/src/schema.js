// The keywords of JSON Schema that handful's schema uses, and no others.
import { ManifestError, shown } from './errors.js'
import { HINT } from './json.js'

/** @typedef {import('./json.js').Whole} Whole */

/** @type {Record<string, (value: any) => boolean>} */
const TYPES = {
  object: (v) => v !== null && typeof v === 'object' && !Array.isArray(v),
  array: Array.isArray,
  string: (v) => typeof v === 'string',
  number: (v) => typeof v === 'number',
  integer: Number.isInteger,
  boolean: (v) => typeof v === 'boolean',
  null: (v) => v === null,
}
/** @type {Map<string, RegExp>} */
const patterns = new Map()

/** @param {string} source */
function pattern(source) {
  if (!patterns.has(source)) patterns.set(source, new RegExp(source, 'u'))
  return /** @type {RegExp} */ (patterns.get(source))
}

/**
 * Throws a ManifestError where a value does not follow the schema.
 * @param {any} schema
 * @param {any} value
 * @param {string} place in errors
 * @param {Whole} whole whether a number was written as an integer
 * @param {any} [holder] the object or list that has the value
 * @param {string | number} [key] and where in it
 */
export function check(schema, value, place, whole, holder = null, key = '') {
  /** @param {unknown} ok @param {string} wanted */
  const need = (ok, wanted) => {
    if (!ok) throw new ManifestError(`\`${place}\` is ${shown(value)}, wanted ${wanted}`, HINT)
  }
  /** @param {any} other */
  const fits = (other) => {
    try {
      check(other, value, place, whole, holder, key)
      return true
    } catch {
      return false
    }
  }
  const { type } = schema
  if (type) {
    const article = /^[aio]/.test(type) ? 'an' : 'a'
    need(TYPES[type](value) && (type !== 'integer' || whole(holder, key)), `${article} ${type}`)
  }
  if ('const' in schema) {
    need(JSON.stringify(value) === JSON.stringify(schema.const), JSON.stringify(schema.const))
  }
  if (schema.enum) need(schema.enum.includes(value), `one of ${schema.enum.join(', ')}`)
  if (schema.anyOf && !schema.anyOf.some(fits)) {
    const likely = schema.anyOf.find((/** @type {any} */ other) => !other.type || TYPES[other.type](value))
    check(likely ?? schema.anyOf[0], value, place, whole, holder, key)
  }
  for (const other of schema.allOf ?? []) check(other, value, place, whole, holder, key)
  if (schema.if) {
    const other = fits(schema.if) ? schema.then : schema.else
    if (other) check(other, value, place, whole, holder, key)
  }
  if (schema.not) need(!fits(schema.not), 'another value: this one is not allowed here')
  if (typeof value === 'number') {
    const { minimum = -Infinity, maximum = Infinity } = schema
    need(value >= minimum && value <= maximum, `${minimum} to ${maximum}`)
  } else if (typeof value === 'string') {
    if (schema.pattern) need(pattern(schema.pattern).test(value), `text like ${schema.pattern}`)
    const { minLength = 0, maxLength = Infinity } = schema
    const length = [...value].length
    need(length >= minLength && length <= maxLength, `${minLength} to ${maxLength} characters`)
  } else if (Array.isArray(value)) {
    const { minItems = 0, maxItems = Infinity, prefixItems = [], items } = schema
    need(value.length >= minItems && value.length <= maxItems, `${minItems} to ${maxItems} entries`)
    value.forEach((entry, i) => {
      const inner = prefixItems[i] ?? items
      need(inner !== false, `${prefixItems.length} entries`)
      if (inner) check(inner, entry, `${place}[${i}]`, whole, value, i)
    })
  } else if (TYPES.object(value)) checkObject(schema, value, place, whole, need)
}

/**
 * @param {any} schema @param {any} value @param {string} place @param {Whole} whole
 * @param {(ok: unknown, wanted: string) => void} need
 */
function checkObject(schema, value, place, whole, need) {
  const { required = [], properties = {}, additionalProperties, propertyNames } = schema
  const prefix = place === 'manifest' ? '' : `${place}.`
  for (const field of required) {
    if (!Object.hasOwn(value, field)) {
      throw new ManifestError(`missing field in manifest: \`${prefix}${field}\``, HINT)
    }
  }
  const { maxProperties = Infinity } = schema
  need(Object.keys(value).length <= maxProperties, `at most ${maxProperties} entries`)
  for (const [field, entry] of Object.entries(value)) {
    const inner = Object.hasOwn(properties, field) ? properties[field] : additionalProperties
    if (inner === false) {
      throw new ManifestError(`unknown field in manifest: \`${prefix}${field.slice(0, 60)}\``, HINT)
    }
    if (propertyNames) check(propertyNames, field, `${prefix}${field.slice(0, 60)}`, whole)
    if (inner) check(inner, entry, prefix + field.slice(0, 60), whole, value, field)
  }
}

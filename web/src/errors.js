// Every error a user can meet, as in Python: what is wrong, then how to put it right.

/** The base of all errors: `hint` says what to do. */
export class HandfulError extends Error {
  name = 'HandfulError'
  /**
   * @param {string} message one fact, lower case
   * @param {string} [hint] what to do about it
   */
  constructor(message, hint) {
    super(message)
    this.hint = hint
  }
}

/** An exported package or one of its files is missing, altered or unsafe. */
export class PackageError extends HandfulError { name = 'PackageError' }
/** manifest.json is not one that this runtime can read. */
export class ManifestError extends PackageError { name = 'ManifestError' }
/** What was asked of onnxruntime, or of the browser, is not to be had. */
export class SessionError extends HandfulError { name = 'SessionError' }
/** An example or a query is not what the package's `input` says. */
export class InputError extends HandfulError { name = 'InputError' }
/** The labelled examples do not form a task that this package can adapt to. */
export class SupportSetError extends HandfulError { name = 'SupportSetError' }
/** A graph failed, gave a value that is not finite, or the task cannot do what was asked. */
export class AdaptError extends HandfulError { name = 'AdaptError' }
/** A saved task is broken, unsafe, or belongs to another package. */
export class TaskFileError extends HandfulError { name = 'TaskFileError' }

const KINDS = {
  HandfulError, PackageError, ManifestError, SessionError, InputError, SupportSetError, AdaptError,
  TaskFileError,
}

/**
 * An error as a message between threads has it, and back.
 * @param {any} error
 */
export const packed = (error) => ({
  name: String(error?.name), message: String(error?.message ?? error), hint: error?.hint,
})

/** @param {{name: string, message: string, hint?: string}} error @returns {Error} */
export function unpacked({ name, message, hint }) {
  const Kind = Object.hasOwn(KINDS, name) ? KINDS[/** @type {keyof typeof KINDS} */ (name)] : null
  return Kind ? new Kind(message, hint) : Object.assign(new Error(message), { name })
}

/**
 * A value as an error names it: one line, at most 60 characters.
 * @param {unknown} value
 * @returns {string}
 */
export function shown(value) {
  let text
  if (typeof value === 'string') text = JSON.stringify(value)
  else if (Array.isArray(value)) text = `[${value.slice(0, 20).map(shown).join(', ')}]`
  else if (value && typeof value === 'object') text = `an object${value.constructor ? ` of type ${value.constructor.name}` : ''}`
  else text = String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

// What is known of the sizes of a graph's tensors before it runs, for windows and made shapes.
//
// Sizes decide whether a window (Conv, MaxPool …) stands on a map at all. What is not followed here is
// not known, and a window over it is refused: this need not be complete, only right.
import { INT64 } from './operators.js'
import { brief, refuse } from './protobuf.js'

/**
 * @typedef {import('./kernels.js').Node} Node
 * @typedef {number | 'some' | null} Size a number; or 1 or more, as S, N, Q and B are; or not known
 * @typedef {Size[] | null} Sizes null: not even the number of axes
 */

const SOME = 'some'
const MOST = 64 // numbers of an int64 tensor that are followed
/** @param {string} names */
const set = (names) => new Set(names.split(' '))
const SAME = set('Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Cast Ceil Celu Clip Cos Cosh'
  + ' CumSum DequantizeLinear Elu Erf Exp EyeLike Floor HardSigmoid HardSwish Identity IsNaN'
  + ' LayerNormalization LeakyRelu Log LogSoftmax Neg Not QuantizeLinear Reciprocal Relu Round'
  + ' ScatterElements ScatterND Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh')
const BROADCAST = set('Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or PRelu'
  + ' Pow Sub Sum Where Xor')
const WINDOWS = set('AveragePool Conv ConvTranspose MaxPool')
const MAPS = set('AveragePool Conv ConvTranspose MaxPool GlobalAveragePool GlobalMaxPool')
// what makes of numbers that are 0 or more only such numbers; of the first five all inputs are numbers
const NATURAL = set('Add Concat Max Min Mul Gather Identity Reshape Slice Squeeze Unsqueeze')
const OF_ALL = set('Add Concat Max Min Mul')

/** @param {Size | undefined} size */
const positive = (size) => size === SOME || (typeof size === 'number' && size > 0)

/** @param {Size[]} sizes @returns {Size} */
function productOf(sizes) {
  if (sizes.every((size) => typeof size === 'number')) {
    return /** @type {number[]} */ (sizes).reduce((a, b) => a * b, 1)
  }
  return sizes.every(positive) ? SOME : null
}

/** The size of a broadcast axis: the one above 1, or 0, or what is left open. @param {Size[]} axis @returns {Size} */
function widest(axis) {
  const numbers = [...new Set(axis.filter((size) => typeof size === 'number' && size !== 1))]
  if (numbers.length === 1) return numbers[0]
  if (numbers.length || axis.includes(null)) return null
  return axis.includes(SOME) ? SOME : 1
}

/** @param {(Sizes | undefined)[]} shapes @returns {Sizes} */
function broadcast(shapes) {
  if (!shapes.length || shapes.some((sizes) => !sizes)) return null
  const known = /** @type {Size[][]} */ (shapes)
  const rank = Math.max(...known.map((sizes) => sizes.length))
  return Array.from({ length: rank }, (_, i) =>
    widest(known.map((sizes) => i < rank - sizes.length ? 1 : sizes[i - rank + sizes.length])))
}

/** The sizes of every tensor of one graph, and the numbers in those that shapes are made of. */
export class Follower {
  /** @type {Map<string, Sizes>} */
  sizes = new Map([['', null]])
  /** @type {Map<string, Size[]>} */
  numbers = new Map()
  /** computed from constants and shapes alone */
  folded = new Set([''])
  /** @type {Set<string>} of integers that are 0 or more, as every size is */
  natural = new Set()

  /** @param {string} name @param {number[]} shape @param {number[] | null} values */
  noteConstant(name, shape, values) {
    this.sizes.set(name, shape)
    this.folded.add(name)
    if (!values) return
    if (shape.length <= 1) this.numbers.set(name, values) // of more axes a part is whole rows
    if (values.every((value) => value >= 0)) this.natural.add(name)
  }

  /** @param {string} name @param {(number | string)[]} shape */
  noteInput(name, shape) {
    this.sizes.set(name, shape.map((size) => typeof size === 'string' ? SOME : size))
  }

  /** What comes of a node; an error where it could leave its map, or a size be below 0. @param {Node} node */
  noteNode(node) {
    const { op, inputs, outputs } = node
    const step = new Step(this, node)
    step.check()
    const shape = op === 'Shape' || op === 'Size'
    if (shape || (inputs.length && inputs.every((name) => this.folded.has(name)))) {
      outputs.forEach((name) => this.folded.add(name))
    }
    const numbers = OF_ALL.has(op) ? inputs : inputs.slice(0, 1)
    if (shape || (NATURAL.has(op) && numbers.length && numbers.every((name) => this.natural.has(name)))) {
      outputs.forEach((name) => this.natural.add(name))
    }
    if (op === 'Constant') return // noted with its value
    const found = step.infer()
    outputs.forEach((name, i) => name && this.sizes.set(name, whole(found[i])))
    const made = step.compute()
    const sizes = outputs.length ? this.sizes.get(outputs[0]) : null
    if (made && made.length <= MOST && sizes && sizes.length <= 1) this.numbers.set(outputs[0], made)
  }
}

/** Sizes of which every one was found; a rule that looked beyond a list has found nothing. @param {Sizes | undefined} sizes */
const whole = (sizes) =>
  sizes?.every((size) => size === null || size === SOME || Number.isInteger(size)) ? sizes : null

/** One node, with what is known of its inputs. */
class Step {
  /** @param {Follower} known @param {Node} node */
  constructor(known, { op, inputs, outputs, attributes }) {
    this.known = known
    this.op = op
    this.inputs = inputs
    this.outputs = outputs
    this.attributes = attributes
    this.ins = inputs.map((name) => known.sizes.get(name) ?? null)
  }

  /** An attribute that is one integer. @param {string} name @param {number} otherwise */
  number(name, otherwise) {
    const value = this.attributes.get(name) ?? otherwise
    return typeof value === 'number' ? value : otherwise
  }

  /** An attribute that is a list of integers. @param {string} name @returns {number[]} */
  entries(name) {
    const value = this.attributes.get(name)
    return Array.isArray(value) ? /** @type {number[]} */ (value) : []
  }

  /** The numbers in the input `i`. @param {number} i @returns {Size[] | null} */
  at(i) {
    return this.known.numbers.get(this.inputs[i]) ?? null
  }

  /** @param {number} i */
  given(i) {
    return Boolean(this.inputs[i])
  }

  /** The numbers in the input `i`, where every one is known. @param {number} i @returns {number[] | null} */
  constants(i) {
    const numbers = this.at(i)
    return numbers?.every((n) => typeof n === 'number') ? /** @type {number[]} */ (numbers) : null
  }

  /** The axes that a Shape is asked for. @param {Size[]} sizes */
  part(sizes) {
    return sizes.slice(this.number('start', 0), this.number('end', sizes.length))
  }

  check() {
    const { op, inputs, known } = this
    if ((op === 'Expand' || op === 'Pad') && inputs.length > 1
      && known.folded.has(inputs[1]) && !known.natural.has(inputs[1])) {
      const numbers = this.at(1)
      if (!numbers || numbers.some((n) => n === null || (typeof n === 'number' && n < 0))) {
        refuse(`${op} with ${op === 'Pad' ? 'pads' : 'sizes'} ${brief(inputs[1])}, wanted constants`
          + ' of 0 or more')
      }
    }
    if (MAPS.has(op)) this.checkMap()
  }

  checkMap() {
    const { op } = this
    const sizes = this.ins[0]
    const most = op === 'ConvTranspose' ? 4 : 5
    const over = `${op} over ${brief(this.inputs[0] ?? '')}`
    if (!sizes || sizes.length < 3 || sizes.length > most || !sizes.every(positive)) {
      refuse(`${over}, of which is known ${sizes ? `[${sizes.map((s) => s ?? '?')}]` : 'nothing'},`
        + ` wanted 3 to ${most} axes that are known not to be empty`)
    }
    if (!WINDOWS.has(op)) return
    this.windows(sizes.length - 2).forEach((window, i) => {
      if (!window.stands(sizes[i + 2])) {
        refuse(`${over} [${sizes}] has a window of ${window.reach} with stride ${window.stride} and`
          + ` padding ${window.padding}, beyond its map`)
      }
    })
  }

  /** The window along each axis of the map. @param {number} axes */
  windows(axes) {
    const { op } = this
    /** @type {Size[]} */
    let kernel = this.entries('kernel_shape')
    if (!kernel.length && op.startsWith('Conv')) kernel = (this.ins[1] ?? []).slice(2)
    /** @param {string} name @param {number} value */
    const list = (name, value) => {
      const entries = this.entries(name)
      return entries.length ? entries : Array(axes).fill(value)
    }
    const [strides, dilations] = [list('strides', 1), list('dilations', 1)]
    const extra = list('output_padding', 0)
    const pads = this.entries('pads').length ? this.entries('pads') : Array(2 * axes).fill(0)
    const made = this.entries('output_shape')
    const lists = [kernel, strides, dilations, extra, made.length ? made : kernel]
    if (lists.some((each) => each.length !== axes) || pads.length !== 2 * axes) {
      refuse(`${op} whose attributes are not of ${axes} axes`)
    }
    const auto = this.attributes.get('auto_pad') ?? 'NOTSET'
    const same = auto === 'SAME_UPPER' || auto === 'SAME_LOWER'
    if (same && this.attributes.has('pads')) refuse(`${op} with \`pads\` and \`auto_pad\` ${auto}`)
    return kernel.map((width, i) => {
      if (typeof width !== 'number' || width < 1) return refuse(`${op} whose window is not known`)
      return new Window(op, dilations[i] * (width - 1) + 1, strides[i],
        auto === 'VALID' ? 0 : pads[i] + pads[i + axes], same, Boolean(this.number('ceil_mode', 0)),
        extra[i], made[i])
    })
  }

  /** The sizes of the outputs, as far as they are known. @returns {(Sizes | undefined)[]} */
  infer() {
    const { op } = this
    const first = this.ins[0] ?? null
    if (SAME.has(op)) return [first]
    if (BROADCAST.has(op)) return [broadcast(this.ins)]
    if (WINDOWS.has(op) && first) return this.ofWindows(first)
    if (op.startsWith('Reduce') || op.startsWith('Arg')) return [first && this.reduce(first)]
    try {
      return (first && Object.hasOwn(RULES, op) && RULES[op](this, first)) || []
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError) return [] // it does not fit
      throw error
    }
  }

  /** @param {Size[]} first @returns {Sizes[]} */
  ofWindows(first) {
    let channels = first[1]
    if (this.op === 'Conv') channels = this.ins[1]?.[0] ?? null
    if (this.op === 'ConvTranspose') {
      channels = this.ins[1]?.[1] ?? null
      if (typeof channels === 'number') channels *= this.number('group', 1)
    }
    const sizes = this.windows(first.length - 2).map((window, i) => window.leaves(first[i + 2]))
    return [[first[0], channels, ...sizes], [first[0], channels, ...sizes]]
  }

  /** @param {Size[]} first @returns {Sizes} */
  reduce(first) {
    const rank = first.length
    const none = this.number('noop_with_empty_axes', 0)
    /** @type {number[] | null} */
    let axes = Array.from(first, (_, i) => i)
    if (this.op.startsWith('Arg')) axes = [this.number('axis', 0)]
    else if (this.given(1)) {
      const given = this.constants(1)
      axes = given && !given.length && !none ? axes : given
    } else if (none) return first
    const keep = this.number('keepdims', 1)
    if (!axes) return keep ? first.map(() => null) : null
    const gone = new Set(rank ? axes.map((axis) => from(axis, rank)) : [])
    if (keep) return first.map((size, i) => gone.has(i) ? 1 : size)
    return first.filter((_, i) => !gone.has(i))
  }

  /** The numbers in the first output, where it is a short int64 tensor. @returns {Size[] | null} */
  compute() {
    const { op } = this
    const first = this.ins[0] ?? null
    if (op === 'Shape' && first) return this.part(first)
    if (op === 'Size' && first) return [productOf(first)]
    const numbers = this.at(0)
    if (['Squeeze', 'Unsqueeze', 'Identity', 'Reshape'].includes(op)) return numbers
    if (op === 'Cast') return this.number('to', 0) === INT64 ? numbers : null
    if (op === 'Concat') {
      const parts = this.inputs.map((_, i) => this.at(i))
      return parts.every(Boolean) ? /** @type {Size[][]} */ (parts).flat() : null
    }
    if (!numbers) return null
    if (op === 'Gather') {
      const chosen = this.constants(1)
      const inside = chosen?.every((i) => i >= -numbers.length && i < numbers.length)
      return inside && chosen ? chosen.map((i) => numbers.at(i) ?? null) : null
    }
    if (op === 'Slice') return this.sliceNumbers(numbers)
    if (op === 'Abs') return numbers.map((n) => typeof n === 'number' ? Math.abs(n) : n)
    const all = this.inputs.map((_, i) => this.at(i) ?? [])
    const length = Math.max(...all.map((each) => each.length))
    const fit = all.every((each) => each.length === 1 || (each.length && each.length === length))
    if (!Object.hasOwn(ARITHMETIC, op) || !fit) return null
    return Array.from({ length }, (_, i) => all
      .map((each) => each[each.length === 1 ? 0 : i])
      .reduce((a, b) => ARITHMETIC[op](a, b)))
  }

  /** @param {Size[]} numbers */
  sliceNumbers(numbers) {
    const [start, end] = [this.constants(1), this.constants(2)]
    const step = this.given(4) ? this.constants(4) : [1]
    if (start?.length !== 1 || !end?.length || !step?.length || step[0] < 1) return null
    return numbers.slice(start[0], end[0]).filter((_, i) => i % step[0] === 0)
  }
}

/** A window along one axis of its map. */
class Window {
  /**
   * @param {string} op @param {number} reach @param {number} stride @param {number} padding
   * @param {boolean} same @param {boolean} ceil @param {number} extra @param {number | undefined} made
   */
  constructor(op, reach, stride, padding, same, ceil, extra, made) {
    this.reach = reach
    this.stride = stride
    this.padding = padding
    this.same = same
    this.ceil = ceil
    this.extra = extra
    this.made = made
    this.op = op
  }

  /** Whether something comes of an axis of this size; SOME is taken as 1, its least. @param {Size} size */
  stands(size) {
    const { op, reach, stride, padding } = this
    const least = typeof size === 'number' ? size : 1
    if (this.same || this.made) return true
    if (op === 'ConvTranspose') return stride * (least - 1) + this.extra + reach - padding >= 1
    const over = reach - least - padding // how far the window reaches beyond
    return op === 'Conv' ? over <= 0 : over < stride
  }

  /** The size of the output's axis. @param {Size} size @returns {Size} */
  leaves(size) {
    const { op, reach, stride, padding, same } = this
    if (this.made) return this.made
    if (typeof size !== 'number') return SOME
    if (op === 'ConvTranspose') return stride * (size - 1) + this.extra + (same ? stride : reach - padding)
    if (same) return Math.ceil(size / stride)
    const room = Math.max(size + padding - reach, 0)
    return this.ceil && room % stride ? SOME : Math.floor(room / stride) + 1
  }
}

/** An axis counted from the end, from the beginning. @param {number} axis @param {number} rank */
function from(axis, rank) {
  if (!rank) throw new RangeError('a scalar has no axis')
  return ((axis % rank) + rank) % rank
}

/** The size that all have, by the one that knows most. @param {Size[]} axis @returns {Size} */
const agree = (axis) =>
  axis.find((size) => typeof size === 'number') ?? (axis.includes(SOME) ? SOME : null)

/** @param {Size[]} sizes @param {number} axis @param {Size[]} put */
const replaced = (sizes, axis, put) => [...sizes.slice(0, axis), ...put, ...sizes.slice(axis + 1)]

/** @param {Size} size @param {number} start @param {number} end @param {number} step @returns {Size} */
function sliced(size, start, end, step) {
  if (typeof size === 'number' && step) {
    const least = step > 0 ? 0 : -1
    const [begin, stop] = [start, end].map((at) =>
      Math.min(Math.max(at < 0 ? at + size : at, least), size + least))
    return Math.max(0, Math.ceil((stop - begin) / step))
  }
  const far = end >= 2 ** 31 - 1
  if (start === 0 && far && step === 1) return size
  const inside = step > 0 && ((start === 0 && end > 0) || (start < 0 && far))
  return size === SOME && inside ? SOME : null
}

/** @type {Record<string, (step: Step, first: Size[]) => (Sizes | undefined)[]>} */
const RULES = {
  Concat(step, first) {
    if (step.ins.some((sizes) => sizes?.length !== first.length)) return []
    const known = /** @type {Size[][]} */ (step.ins)
    const axis = from(step.number('axis', 0), first.length)
    const along = known.map((sizes) => sizes[axis])
    const numbers = along.every((size) => typeof size === 'number')
    const total = numbers ? /** @type {number[]} */ (along).reduce((a, b) => a + b, 0)
      : along.some(positive) ? SOME : null // one that is not empty is enough
    return [replaced(first.map((_, i) => agree(known.map((sizes) => sizes[i]))), axis, [total])]
  },
  ConstantOfShape: (step) => [step.at(0)],
  Expand: (step, first) => [step.at(1) && broadcast([first, step.at(1)])],
  Flatten(step, first) {
    const axis = step.number('axis', 1)
    return [[productOf(first.slice(0, axis)), productOf(first.slice(axis))]]
  },
  Gather(step, first) {
    return [step.ins[1] && replaced(first, from(step.number('axis', 0), first.length), step.ins[1])]
  },
  GatherND(step, first) {
    const last = step.ins[1]?.at(-1)
    return typeof last === 'number' ? [[...(step.ins[1] ?? []).slice(0, -1), ...first.slice(last)]] : []
  },
  GatherElements: (step) => [step.ins[1]],
  Gemm(step, a) {
    const b = step.ins[1]
    return [b && [a[step.number('transA', 0) ? 1 : 0], b[step.number('transB', 0) ? 0 : 1]]]
  },
  GlobalAveragePool: (_, first) => [[...first.slice(0, 2), ...first.slice(2).map(() => 1)]],
  GlobalMaxPool: (_, first) => [[...first.slice(0, 2), ...first.slice(2).map(() => 1)]],
  MatMul(step, a) {
    const b = step.ins[1]
    if (!b?.length || !a.length) return []
    const batch = broadcast([a.slice(0, -2), b.slice(0, -2)]) ?? []
    return [[...batch, ...a.slice(-2, -1), ...b.length > 1 ? b.slice(-1) : []]]
  },
  Pad(step, first) {
    const pads = step.constants(1)
    const axes = step.given(3) ? step.constants(3) : first.map((_, i) => i)
    if (!pads || !axes) return [first.map(() => null)]
    const sizes = [...first]
    axes.forEach((axis, i) => {
      const at = from(axis, first.length)
      const more = pads[i] + pads[i + axes.length]
      const size = first[at]
      sizes[at] = typeof size === 'number' ? size + more : more > 0 ? SOME : size
    })
    return [sizes]
  },
  Range(step) {
    const [start, limit, by] = [step.at(0), step.at(1), step.at(2)]
    const counts = start?.length === 1 && start[0] === 0 && by?.length === 1 && by[0] === 1
    return [[counts && limit?.length === 1 && positive(limit[0]) ? limit[0] : null]]
  },
  Reshape(step, first) {
    const wanted = step.at(1)
    if (!wanted) {
      const rank = step.ins[1]?.[0]
      return typeof rank === 'number' ? [Array(rank).fill(null)] : []
    }
    const zero = step.number('allowzero', 0)
    const copied = wanted.map((size, i) => size === 0 && !zero ? first[i] : size)
    const at = copied.indexOf(-1)
    if (at >= 0) {
      const total = productOf(first)
      const rest = productOf(replaced(copied, at, []))
      copied[at] = typeof total === 'number' && typeof rest === 'number' && rest
        ? Math.floor(total / rest) : positive(total) ? SOME : null // a part of something is something
    }
    return [copied]
  },
  Shape: (step, first) => [[step.part(first).length]],
  Size: () => [[]],
  Slice(step, first) {
    const [starts, ends] = [step.constants(1), step.constants(2)]
    const axes = step.given(3) ? step.constants(3) : starts?.map((_, i) => i) ?? []
    if (!axes) return [first.map(() => null)]
    const steps = step.given(4) ? step.constants(4) : axes.map(() => 1)
    const sizes = [...first]
    axes.forEach((axis, i) => {
      const at = from(axis, first.length)
      sizes[at] = starts && ends && steps ? sliced(first[at], starts[i], ends[i], steps[i]) : null
    })
    return [sizes]
  },
  Split(step, first) {
    const axis = from(step.number('axis', 0), first.length)
    const count = step.outputs.length
    const size = first[axis]
    /** @type {Size[]} */
    let parts = Array(count).fill(null)
    if (step.given(1)) parts = step.at(1) ?? parts
    else if (typeof size === 'number') {
      const each = Math.ceil(size / count)
      parts = parts.map((_, i) => i < count - 1 ? each : size - each * (count - 1))
    }
    return parts.map((part) => replaced(first, axis, [part]))
  },
  Squeeze(step, first) {
    if (!step.given(1)) { // all axes of 1, which have to be known
      return first.every(Number.isInteger) ? [first.filter((size) => size !== 1)] : []
    }
    const axes = step.constants(1)?.map((axis) => from(axis, first.length))
    return axes ? [first.filter((_, i) => !axes.includes(i))] : []
  },
  Tile(step, first) {
    const repeats = step.at(1)
    if (!repeats) return [first.map(() => null)]
    return repeats.length === first.length ? [first.map((size, i) => productOf([size, repeats[i]]))] : []
  },
  TopK(step, first) {
    const sizes = replaced(first, from(step.number('axis', -1), first.length), [step.at(1)?.[0] ?? null])
    return [sizes, sizes]
  },
  Transpose(step, first) {
    const order = step.entries('perm')
    return [order.length ? order.map((i) => first[i]) : [...first].reverse()]
  },
  Unsqueeze(step, first) {
    const axes = step.constants(1)
    if (!axes) return []
    const rank = first.length + axes.length
    const fresh = new Set(axes.map((axis) => from(axis, rank)))
    const rest = first[Symbol.iterator]()
    return [Array.from({ length: rank }, (_, i) => fresh.has(i) ? 1 : rest.next().value ?? null)]
  },
}

/**
 * Arithmetic with sizes of which some are only known to be 1 or more.
 * @param {(a: number, b: number) => number} exact @param {boolean} grows
 * @returns {(a: Size, b: Size) => Size}
 */
const calculate = (exact, grows) => (a, b) => {
  if (typeof a === 'number' && typeof b === 'number') return exact(a, b)
  return grows && positive(a) && positive(b) ? SOME : null
}

/** @type {Record<string, (a: Size, b: Size) => Size>} */
const ARITHMETIC = {
  Add: calculate((a, b) => a + b, true),
  Mul: calculate((a, b) => a * b, true),
  Sub: calculate((a, b) => a - b, false),
  Div: calculate((a, b) => b > 0 && a >= 0 ? Math.floor(a / b) : -1, false),
  Max: calculate(Math.max, true),
  Min: calculate(Math.min, true),
}

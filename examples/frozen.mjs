// Answer with a task that `handful freeze` wrote, in JavaScript: onnxruntime-node, nothing of handful.
//
// npm install onnxruntime-node
// node frozen.mjs model.onnx example LABEL...     the bytes of one example, as the model's `input`
//                                                 has it; the labels in the task's order
import { readFile } from "node:fs/promises";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [model, file, ...labels] = process.argv.slice(2);
if (!file) {
  console.error("usage: node frozen.mjs MODEL.onnx EXAMPLE LABEL...");
  process.exit(2);
}
const session = await InferenceSession.create(model, { intraOpNumThreads: 1 });
const { type, shape } = session.inputMetadata[0];
const bytes = new Uint8Array(await readFile(file));
const values = type === "uint8" ? bytes : new Float32Array(bytes.buffer);
const input = new Tensor(type, values, [1, ...shape.slice(1)]);
const { probabilities, index } = await session.run({ input });
const best = Number(index.data[0]);
console.log(best < 0 ? "none of these" : `${labels[best] ?? best} ${probabilities.data[best]}`);

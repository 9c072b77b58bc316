// node run.mjs '{"feature": value, ...}' [model file]: one prediction by the files beside this one.
// Needs onnxruntime: `npm install onnxruntime-node`, or `onnxruntime-web` in a browser.
import { readFile } from "node:fs/promises";

const ort = await import("onnxruntime-node").catch(() => import("onnxruntime-web"));
const beside = (name) => new URL(name, import.meta.url);
const card = JSON.parse(await readFile(beside("edge.json"), "utf8"));

export async function predict(values, model = "model.ort") {
  const row = card.features.map((name) => {
    const value = values[name];
    const known = card.categories[name];
    if (known) return known.includes(value) ? known.indexOf(value) : card.unknown_category;
    return value === undefined || value === null ? NaN : Number(value);
  });
  const session = await ort.InferenceSession.create(new Uint8Array(await readFile(beside(model))));
  const wanted = session.outputNames.at(-1);
  const input = new ort.Tensor("float32", Float32Array.from(row), [1, row.length]);
  const answer = await session.run({ [session.inputNames[0]]: input }, [wanted]);
  return Number(answer[wanted].data.at(-1));
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split("/").at(-1))) {
  console.log(await predict(JSON.parse(process.argv[2]), process.argv[3]));
}

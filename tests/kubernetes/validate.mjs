// Says what the schemas of Kubernetes, Istio, the Gateway API, Envoy Gateway and the Prometheus operator say about
// manifests: `node validate.mjs FILE…`, or from standard input. Values are judged by the schemas of the resource
// definitions; names that no schema has, by the types that were made from them, as `kubectl` does (it refuses what
// an API server would drop without a word).
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { parseAllDocuments } from "yaml";

const PACKAGES = [
  "kubernetes-models",
  "@kubernetes-models/istio",
  "@kubernetes-models/gateway-api",
  "@kubernetes-models/envoy-gateway",
  "@kubernetes-models/prometheus-operator",
];

/** The package and module that know a resource of this kind. */
async function home(apiVersion, kind) {
  for (const name of PACKAGES) {
    const module = `${name}/${apiVersion}`;
    try {
      const known = (await import(module))[kind];
      if (known) return { module, Model: known };
    } catch (error) {
      if (error.code !== "ERR_MODULE_NOT_FOUND" && error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error;
    }
  }
  throw new Error(`no schema is known for ${apiVersion} ${kind}`);
}

/** What the compiler says about literals of these types. */
function misnamed(literals) {
  const folder = path.dirname(fileURLToPath(import.meta.url));
  const file = path.join(folder, "manifests.ts");
  const source = literals
    .map(({ module, kind, document }, index) =>
      `import type { I${kind} as T${index} } from ${JSON.stringify(module)};\n` +
      `export const d${index}: T${index} = ${JSON.stringify(document)};`)
    .join("\n");
  const options = {
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, source, options.target) : read(name, ...rest);
  const exists = host.fileExists.bind(host);
  host.fileExists = (name) => name === file || exists(name);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map((problem) => {
    const line = problem.file?.getLineAndCharacterOfPosition(problem.start ?? 0).line ?? 0;
    const text = ts.flattenDiagnosticMessageText(problem.messageText, " ");
    return `${literals[Math.floor(line / 2)]?.where}: ${text}`;
  });
}

const inputs = process.argv.length > 2
  ? process.argv.slice(2).map((file) => [file, fs.readFileSync(file, "utf8")])
  : [["standard input", fs.readFileSync(0, "utf8")]];
const problems = [];
const literals = [];
for (const [file, text] of inputs) {
  for (const parsed of parseAllDocuments(text)) {
    problems.push(...parsed.errors.map((error) => `${file}: ${error.message}`));
    const document = parsed.toJS();
    if (document === null || document === undefined) continue;
    const { apiVersion, kind } = document;
    const where = `${file}: ${kind} ${document.metadata?.name}`;
    try {
      const { module, Model } = await home(apiVersion, kind);
      new Model(document).validate();
      literals.push({ module, kind, document, where });
    } catch (error) {
      problems.push(`${where}: ${error.message}`);
    }
  }
}
// The compiler takes seconds: it is asked once all values are sound.
if (problems.length === 0) problems.push(...misnamed(literals));
problems.forEach((problem) => console.error(problem));
console.log(`${literals.length} resources, ${problems.length} problems`);
process.exit(problems.length > 0 || literals.length === 0 ? 1 : 0);

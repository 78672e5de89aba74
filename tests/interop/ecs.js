// Holds events against Elastic's published schema: every field outside of `shadowtap` is one of it, has its type, and one of the
// values that it allows. `ecs.js PACKAGES EVENTS`
const fs = require("fs");
const path = require("path");

const [packages, file] = process.argv.slice(2);
const { EcsFlat } = require(path.join(packages, "node_modules/@elastic/ecs"));
const faults = [];

function check(name, value, event) {
  const field = EcsFlat[name];
  if (!field) return faults.push(`${name}: no such field`);
  const listed = field.normalize && field.normalize.includes("array");
  if (Array.isArray(value) !== Boolean(listed)) faults.push(`${name}: ${listed ? "a list is wanted" : "no list is wanted"}`);
  for (const one of [].concat(value)) {
    const kind = { long: "number", float: "number", boolean: "boolean" }[field.type] || "string";
    if (typeof one !== kind) faults.push(`${name}: ${field.type} is wanted, not ${JSON.stringify(one)}`);
    if (field.type === "ip" && !require("net").isIP(one)) faults.push(`${name}: ${one} is no address`);
    if (field.type === "date" && Number.isNaN(Date.parse(one))) faults.push(`${name}: ${one} is no date`);
    const allowed = (field.allowed_values || []).map((value) => value.name);
    if (allowed.length && !allowed.includes(one)) faults.push(`${name}: ${one} is not allowed`);
    const types = (field.allowed_values || []).find((value) => value.name === one)?.expected_event_types;
    if (name === "event.category" && types && !event.event.type.every((type) => types.includes(type))) {
      faults.push(`${one} with type ${event.event.type}`);
    }
  }
}

function walk(value, name, event) {
  if (name === "shadowtap") return;
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) walk(inner, name ? `${name}.${key}` : key, event);
  } else {
    check(name, value, event);
  }
}

const events = fs.readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
events.forEach((event) => walk(event, "", event));
// The checker is one: what is wrong is told.
const before = faults.length;
walk({ event: { kind: "nonsense", type: [] }, nowhere: 1 }, "", { event: { type: [] } });
if (faults.splice(before).length < 2) throw new Error("nonsense passes");
if (!events.length) throw new Error("no events");
[...new Set(faults)].slice(0, 20).forEach((fault) => console.error(fault));
process.exit(faults.length ? 1 : 0);

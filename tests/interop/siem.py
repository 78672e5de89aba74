"""Holds events against what others publish: JSON Schema, OCSF, Sigma.

    siem.py schema SCHEMAS EVENTS     every event fits its JSON Schema (2020-12)
    siem.py ocsf EVENTS               every event is a valid Detection Finding of OCSF 1.5.0, with no warning about its fields
    siem.py sigma RULES SAMPLES       every rule is one, and which events each of them matches: `rule<tab>kind` lines
"""

import fnmatch
import json
import pathlib
import sys


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def schema(schemas, events):
    from jsonschema import Draft202012Validator, FormatChecker

    schemas = json.loads(pathlib.Path(schemas).read_text())
    for one in schemas.values():
        Draft202012Validator.check_schema(one)
    faults = []
    for event in lines(events):
        validator = Draft202012Validator(schemas[event["event"]], format_checker=FormatChecker())
        faults += [f"{event['event']} {error.json_path}: {error.message}" for error in validator.iter_errors(event)]
    return faults, len(lines(events))


def ocsf(events):
    from jsonschema import Draft202012Validator
    from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

    maker = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.5.0"))
    wanted = maker.get_class_schema(class_name="detection_finding", profiles=[])
    validator = Draft202012Validator(wanted)
    faults = []
    for event in lines(events):
        assert event["class_uid"] == 2004 and event["type_uid"] == 200400 + event["activity_id"]
        assert event["metadata"]["version"] == "1.5.0"
        faults += [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(event)]
    # The checker is one: what is missing is told.
    broken = {key: value for key, value in lines(events)[0].items() if key != "finding_info"}
    assert any("finding_info" in error.message for error in validator.iter_errors(broken))
    return faults, len(lines(events))


def holds(item, event):
    """One `field: values` of a rule, as far as our rules go."""
    wanted = [str(value) for value in item.value]
    assert not item.modifiers, item
    return any(fnmatch.fnmatchcase(str(event.get(item.field)), value) for value in wanted)


def sigma(rules, samples):
    from sigma.collection import SigmaCollection
    from sigma.validation import SigmaValidator
    from sigma.plugins import InstalledSigmaPlugins

    files = sorted(pathlib.Path(rules).glob("*.yml"))
    collection = SigmaCollection.load_ruleset(files)
    known = InstalledSigmaPlugins.autodiscover().validators
    # These two fetch lists from the network.
    validator = SigmaValidator(one for name, one in known.items() if name not in ("attacktag", "d3_fendtag"))
    faults = [str(issue) for issue in validator.validate_rules(collection)]
    for rule, file in zip(collection.rules, files, strict=True):
        assert rule.detection.condition == ["selection"], file
        items = rule.detection.detections["selection"].detection_items
        matched = sorted({str(event["kind"]) for event in lines(samples) if all(holds(item, event) for item in items)})
        for kind in matched:
            print(f"{file.stem}\t{kind}")
        if not matched:
            faults.append(f"{file.name} matches no sample")
    return faults, len(files)


faults, count = {"schema": schema, "ocsf": ocsf, "sigma": sigma}[sys.argv[1]](*sys.argv[2:])
for fault in faults[:20]:
    print(fault, file=sys.stderr)
assert count
sys.exit(bool(faults))

# METADATA
# title: Whether the question is complete
# description: |
#   A rule that reads a missing field is undefined and says nothing. So every field is asked for here, by name
#   and type, before any other rule reads one.
package veritas.question

import rego.v1

problems contains "input is missing: give an object with the fields of the question" if not given

# A rule of its own: OPA takes `not is_object(input)` for undefined where there is no input at all.
given if is_object(input)

problems contains sprintf("input.%s%s is missing: give it, null where nothing is", [part.place, name]) if {
	some part in parts
	some name, _ in part.fields
	not name in object.keys(part.value)
}

problems contains concat("", ["input.", part.place, name, " is of type ", kind, ": give ", concat(" or ", kinds)]) if {
	some part in parts
	some name, kinds in part.fields
	kind := type_name(part.value[name])
	not kind in kinds
}

problems contains sprintf("input.%s has an item of type %s: give items of type %s", [list.place, kind, list.kind]) if {
	some list in lists
	is_array(list.items)
	some item in list.items
	kind := type_name(item)
	kind != list.kind
}

problems contains sprintf("input.risk_tier is %v: give 1, 2 or 3", [input.risk_tier]) if {
	is_number(input.risk_tier)
	not input.risk_tier in {1, 2, 3}
}

# Dates are compared as texts, which is right for this form alone.
problems contains sprintf("input.%s is '%s': give a date as YYYY-MM-DD", [place, date]) if {
	some place, date in dates
	is_string(date)
	not regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, date)
}

dates["latest_champion_as_of"] := input.latest_champion_as_of

dates["candidate.as_of"] := input.candidate.as_of

dates["incumbent.as_of"] := input.incumbent.as_of

# The objects of the question, each with its fields and the types that these may have.
parts contains {"place": "", "value": input, "fields": {
	"action": ["string"],
	"name": ["string"],
	"risk_tier": ["number"],
	"owner": ["string"],
	"automatic": ["boolean"],
	"actor": ["object"],
	"authors": ["array"],
	"halted": ["boolean"],
	"candidate": ["object", "null"],
	"incumbent": ["object", "null"],
	"latest_champion_as_of": ["string", "null"],
	"approvals": ["array"],
}} if {
	is_object(input)
}

parts contains {"place": "actor.", "value": input.actor, "fields": {"name": ["string"], "roles": ["array"]}} if {
	is_object(input.actor)
}

parts contains {"place": "candidate.", "value": input.candidate, "fields": {
	"version": ["number"],
	"as_of": ["string", "null"],
	"evidence": ["string", "null"],
	"gates": ["array"],
	"barred": ["boolean"],
}} if {
	is_object(input.candidate)
}

parts contains {"place": "incumbent.", "value": input.incumbent, "fields": {
	"version": ["number"],
	"as_of": ["string", "null"],
}} if {
	is_object(input.incumbent)
}

parts contains {"place": sprintf("candidate.gates[%v].", [number]), "value": gate, "fields": {
	"gate": ["string"],
	"outcome": ["string"],
}} if {
	is_array(input.candidate.gates)
	some number, gate in input.candidate.gates
	is_object(gate)
}

parts contains {"place": sprintf("approvals[%v].", [number]), "value": approval, "fields": {
	"approver": ["string"],
	"role": ["string"],
	"evidence": ["string"],
}} if {
	is_array(input.approvals)
	some number, approval in input.approvals
	is_object(approval)
}

# The lists of the question, each with the type of its items.
lists contains {"place": "authors", "items": input.authors, "kind": "string"}

lists contains {"place": "approvals", "items": input.approvals, "kind": "object"}

lists contains {"place": "actor.roles", "items": input.actor.roles, "kind": "string"} if is_object(input.actor)

lists contains {"place": "candidate.gates", "items": input.candidate.gates, "kind": "object"} if {
	is_object(input.candidate)
}

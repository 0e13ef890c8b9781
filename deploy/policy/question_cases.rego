# METADATA
# title: What a question that is not complete is answered
# description: See lifecycle_cases.rego for what a case is.
package veritas.question_cases

import rego.v1

import data.veritas.lifecycle_cases

complete := object.union(lifecycle_cases.question, {"approvals": [lifecycle_cases.officer]})

gate := complete.candidate.gates[0]

approval := complete.approvals[0]

denied(asked, reason) := {"input": asked, "reasons": [reason]}

put(name, value) := object.union(object.remove(complete, [name]), {name: value})

missing(place) := sprintf("input.%s is missing: give it, null where nothing is", [place])

cases["a complete question has no problem"] := lifecycle_cases.allowed({"approvals": [lifecycle_cases.officer]})

cases[missing(name)] := denied(object.remove(complete, [name]), missing(name)) if {
	some name, _ in complete
}

cases[missing(place)] := denied(put("actor", object.remove(complete.actor, [name])), missing(place)) if {
	some name, _ in complete.actor
	place := sprintf("actor.%s", [name])
}

cases[missing(place)] := denied(put("candidate", object.remove(complete.candidate, [name])), missing(place)) if {
	some name, _ in complete.candidate
	place := sprintf("candidate.%s", [name])
}

cases[missing(place)] := denied(put("incumbent", object.remove(complete.incumbent, [name])), missing(place)) if {
	some name, _ in complete.incumbent
	place := sprintf("incumbent.%s", [name])
}

cases[missing(place)] := denied(put("approvals", [object.remove(approval, [name])]), missing(place)) if {
	some name, _ in approval
	place := sprintf("approvals[0].%s", [name])
}

cases[missing(place)] := denied(
	put("candidate", object.union(complete.candidate, {"gates": [object.remove(gate, [name])]})),
	missing(place),
) if {
	some name, _ in gate
	place := sprintf("candidate.gates[0].%s", [name])
}

cases["a field of another type is named"] := denied(
	put("halted", "false"),
	"input.halted is of type string: give boolean",
)

cases["a field that may be null says so"] := denied(
	put("candidate", "vol@2"),
	"input.candidate is of type string: give object or null",
)

cases["an item of another type is named by its list"] := denied(
	put("authors", [7]),
	"input.authors has an item of type number: give items of type string",
)

cases["a date of another form is named"] := denied(
	put("latest_champion_as_of", "30.6.2022"),
	"input.latest_champion_as_of is '30.6.2022': give a date as YYYY-MM-DD",
)

cases["a tier that does not exist is named"] := denied(put("risk_tier", 0), "input.risk_tier is 0: give 1, 2 or 3")

cases[sprintf("an input of type %s is no question", [type_name(asked)])] := denied(
	asked,
	"input is missing: give an object with the fields of the question",
) if {
	some asked in [null, [], "promote", 7]
}

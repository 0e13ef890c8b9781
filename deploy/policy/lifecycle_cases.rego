# METADATA
# title: What the rules of the lifecycle are expected to say
# description: |
#   Each case has an input and the reasons that the decision on it gives; none where it is allowed. `opa test`
#   runs them by lifecycle_test.rego, `veritas policy check` asks each of them as the registry would ask.
package veritas.lifecycle_cases

import rego.v1

# A promotion that nothing stands against: tier 3, by a run, newer than every champion.
question := {
	"action": "promote",
	"name": "vol",
	"risk_tier": 3,
	"owner": "market risk",
	"automatic": true,
	"actor": {"name": "scheduler", "roles": []},
	"authors": ["ann"],
	"halted": false,
	"candidate": {
		"version": 2,
		"as_of": "2022-06-30",
		"evidence": "e2",
		"gates": [{"gate": "qlike", "outcome": "passed"}],
		"barred": false,
	},
	"incumbent": {"version": 1, "as_of": "2022-03-31"},
	"latest_champion_as_of": "2022-03-31",
	"approvals": [],
}

officer := {"approver": "olga", "role": "risk_officer", "evidence": "e2"}

validator := {"approver": "vera", "role": "model_validator", "evidence": "e2"}

allowed(changes) := denied(changes, [])

denied(changes, reasons) := {"input": object.union(question, changes), "reasons": reasons}

# Merged here, because engines differ in whether object.union merges the objects in objects.
candidate(changes) := {"candidate": object.union(question.candidate, changes)}

# Promote

cases["tier 3 promotes itself when it is newer than every champion"] := allowed({})

cases["the first champion displaces nobody"] := allowed({"incumbent": null, "latest_champion_as_of": null})

cases["nothing is promoted while promotions are halted"] := denied(
	{"halted": true},
	["promotions of vol are halted: resume them first"],
)

cases["each gate that did not pass is named"] := denied(
	candidate({"gates": [
		{"gate": "qlike", "outcome": "passed"},
		{"gate": "data", "outcome": "failed"},
		{"gate": "card", "outcome": "unevaluated"},
	]}),
	["gate card of vol@2 is unevaluated", "gate data of vol@2 is failed"],
)

cases["what no gate judged is not promoted"] := denied(
	candidate({"gates": []}),
	["vol@2 was judged by no gate: evaluate it first"],
)

cases["what has no evidence is not promoted"] := denied(
	candidate({"evidence": null}),
	["vol@2 has no evidence: evaluate it first"],
)

cases["no version is not promoted"] := denied(
	{"candidate": null},
	["no version is named: name the one to promote"],
)

# Tiers

no_officer := ["tier 2 needs a risk_officer for vol@2"]

cases["tier 2 needs an approval"] := denied({"risk_tier": 2}, no_officer)

cases["tier 2 needs it from a risk officer"] := denied({"risk_tier": 2, "approvals": [validator]}, no_officer)

cases["tier 2 is promoted with it"] := allowed({"risk_tier": 2, "approvals": [officer]})

no_two := ["tier 1 needs a model_validator and a risk_officer, two people, for vol@2"]

cases["tier 1 needs approvals"] := denied({"risk_tier": 1}, no_two)

cases["tier 1 needs two"] := denied({"risk_tier": 1, "approvals": [officer]}, no_two)

cases["tier 1 needs two roles"] := denied(
	{"risk_tier": 1, "approvals": [officer, object.union(officer, {"approver": "otto"})]},
	no_two,
)

cases["tier 1 needs two people"] := denied(
	{"risk_tier": 1, "approvals": [officer, object.union(validator, {"approver": "olga"})]},
	no_two,
)

cases["tier 1 is promoted with two people of two roles"] := allowed({
	"risk_tier": 1,
	"approvals": [officer, validator],
})

cases["somebody with both roles fills one of them"] := allowed({
	"risk_tier": 1,
	"approvals": [officer, object.union(validator, {"approver": "olga"}), validator],
})

# Approvals

stale := object.union(officer, {"evidence": "e1"})

cases["an approval of other evidence does not count"] := denied(
	{"risk_tier": 2, "approvals": [stale]},
	no_officer,
)

cases["an approval of other evidence does no harm"] := allowed({"risk_tier": 2, "approvals": [stale, officer]})

approved_by(name) := {"risk_tier": 2, "approvals": [officer, object.union(officer, {"approver": name})]}

cases["an author does not approve"] := denied(
	approved_by("ann"),
	["ann may not approve vol@2: its author"],
)

cases["the owner does not approve"] := denied(
	approved_by("market risk"),
	["market risk may not approve vol@2: its owner"],
)

cases["who triggered the run does not approve"] := denied(
	approved_by("scheduler"),
	["scheduler may not approve vol@2: who triggered the run that asks"],
)

cases["a person who asks may be one who approved"] := allowed({
	"risk_tier": 2,
	"automatic": false,
	"actor": {"name": "olga", "roles": ["risk_officer"]},
	"approvals": [officer],
})

# What never goes by itself

tie := {"latest_champion_as_of": "2022-06-30"}

cases["a tie needs a risk officer in every tier"] := denied(
	tie,
	["vol@2 needs a risk_officer in every tier: a champion had its as-of date, 2022-06-30"],
)

cases["a tie is promoted with one"] := allowed(object.union(tie, {"approvals": [officer]}))

barred := candidate({"barred": true})

cases["what a rollback displaced needs a risk officer in every tier"] := denied(
	barred,
	["vol@2 needs a risk_officer in every tier: a rollback displaced it"],
)

cases["what a rollback displaced is promoted with one"] := allowed(object.union(barred, {"approvals": [officer]}))

undated := candidate({"as_of": null})

cases["what has no as-of date needs a risk officer in every tier"] := denied(
	undated,
	["vol@2 needs a risk_officer in every tier: its as-of date is not known"],
)

cases["what has no as-of date is promoted with one"] := allowed(object.union(undated, {"approvals": [officer]}))

cases["no approval lets an older version displace a champion"] := denied(
	{"latest_champion_as_of": "2022-07-01", "automatic": false, "approvals": [officer, validator]},
	["vol@2 has seen data up to 2022-06-30, a champion up to 2022-07-01 already: roll back or train anew"],
)

# Roll back

rollback(tier) := {"action": "rollback", "automatic": false, "risk_tier": tier}

cases[sprintf("tier %d is rolled back by nobody alone", [tier])] := denied(
	rollback(tier),
	["a rollback needs a risk_officer for vol@2"],
) if {
	some tier in [1, 2, 3]
}

cases[sprintf("tier %d is rolled back with a risk officer", [tier])] := allowed(object.union(
	rollback(tier),
	{"approvals": [officer]},
)) if {
	some tier in [1, 2, 3]
}

cases["a rollback works while promotions are halted"] := allowed(object.union(
	rollback(1),
	{"halted": true, "approvals": [officer]},
))

cases["no run rolls back"] := denied(
	{"action": "rollback", "approvals": [officer]},
	["a rollback is a person's decision: no run makes one"],
)

# Retire, reject, halt, resume

asked_by(action, roles) := {
	"action": action,
	"automatic": false,
	"candidate": null,
	"actor": {"name": "olga", "roles": roles},
}

cases[sprintf("a risk officer may %s", [action])] := allowed(asked_by(action, ["quant", "risk_officer"])) if {
	some action in ["retire", "reject", "halt", "resume"]
}

cases[sprintf("a model validator may not %s", [action])] := denied(
	asked_by(action, ["model_validator"]),
	[sprintf("olga may not %s: it takes a risk_officer", [action])],
) if {
	some action in ["retire", "reject", "resume"]
}

cases["a model validator may halt"] := allowed(asked_by("halt", ["model_validator"]))

cases["nobody without a role may halt"] := denied(
	asked_by("halt", ["quant"]),
	["olga may not halt: it takes a model_validator or a risk_officer"],
)

cases["what no rule names is denied"] := denied(
	{"action": "delete"},
	["action delete is unknown: use promote, rollback, retire, reject, halt or resume"],
)

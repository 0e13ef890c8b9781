# METADATA
# title: What may happen to a model, and who has to agree
# description: |
#   data.veritas.lifecycle.decision is what the registry asks for. Nothing is allowed that this file does not
#   name: each rule below denies unless something holds, so that what is undefined denies too.
package veritas.lifecycle

import rego.v1

import data.veritas.approvals
import data.veritas.question

decision := {"allowed": allowed, "reasons": sort(reasons), "files": files}

# The names and SHA-256 digests of the files that decide. Whoever loads the policy loads this document with it;
# without it no answer says which policy gave it, and the registry takes it for a denial.
default files := {}

files := data.veritas.policy.files

default allowed := false

allowed if {
	input.action in actions
	count(reasons) == 0
}

# Rules on values are asked only about a question that is complete, so that they need not ask for types.
reasons := question.problems if count(question.problems) > 0

reasons := denials if count(question.problems) == 0

actions := {"promote", "rollback", "retire", "reject", "halt", "resume"}

about_a_version := {"promote", "rollback"}

denials contains sprintf(
	"action %s is unknown: use promote, rollback, retire, reject, halt or resume",
	[input.action],
) if {
	not input.action in actions
}

# Retire, reject, halt, resume: whoever has the role decides alone

may_decide_alone := {
	"retire": ["risk_officer"],
	"reject": ["risk_officer"],
	"halt": ["model_validator", "risk_officer"],
	"resume": ["risk_officer"],
}

denials contains concat("", [
	input.actor.name, " may not ", input.action,
	": it takes a ", concat(" or a ", roles),
]) if {
	roles := may_decide_alone[input.action]
	not has_one_of(roles)
}

has_one_of(roles) if {
	some role in input.actor.roles
	role in roles
}

# Promote and roll back: a version, and people who are not its authors

denials contains sprintf("no version is named: name the one to %s", [input.action]) if {
	input.action in about_a_version
	not is_object(input.candidate)
}

denials contains sprintf("%s has no evidence: evaluate it first", [version]) if {
	input.action in about_a_version
	is_object(input.candidate)
	not is_string(input.candidate.evidence)
}

denials contains sprintf("%s may not approve %s: %s", [approval.approver, version, why]) if {
	input.action in about_a_version
	some approval in approvals.current
	why := approvals.conflict[approval.approver]
}

version := sprintf("%s@%v", [input.name, input.candidate.version])

# Promote

denials contains sprintf("promotions of %s are halted: resume them first", [input.name]) if {
	input.action == "promote"
	not input.halted == false
}

denials contains sprintf("%s was judged by no gate: evaluate it first", [version]) if {
	input.action == "promote"
	not count(input.candidate.gates) > 0
}

denials contains sprintf("gate %s of %s is %s", [gate.gate, version, gate.outcome]) if {
	input.action == "promote"
	some gate in input.candidate.gates
	not gate.outcome == "passed"
}

denials contains sprintf("%s has seen data up to %s, a champion up to %s already: roll back or train anew", [
	version,
	input.candidate.as_of,
	input.latest_champion_as_of,
]) if {
	input.action == "promote"
	is_string(input.candidate.as_of)
	is_string(input.latest_champion_as_of)
	not input.candidate.as_of >= input.latest_champion_as_of
}

denials contains sprintf("tier 1 needs a model_validator and a risk_officer, two people, for %s", [version]) if {
	input.action == "promote"
	not input.risk_tier in {2, 3}
	not approvals.validator_and_officer
}

denials contains sprintf("tier 2 needs a risk_officer for %s", [version]) if {
	input.action == "promote"
	input.risk_tier == 2
	not approvals.officer
}

denials contains sprintf("%s needs a risk_officer in every tier: %s", [version, why]) if {
	input.action == "promote"
	some why in never_by_itself
	not approvals.officer
}

never_by_itself contains "a rollback displaced it" if not input.candidate.barred == false

never_by_itself contains "its as-of date is not known" if not is_string(input.candidate.as_of)

never_by_itself contains sprintf("a champion had its as-of date, %s", [input.candidate.as_of]) if {
	input.candidate.as_of == input.latest_champion_as_of
	is_string(input.candidate.as_of)
}

# Roll back

denials contains "a rollback is a person's decision: no run makes one" if {
	input.action == "rollback"
	not input.automatic == false
}

denials contains sprintf("a rollback needs a risk_officer for %s", [version]) if {
	input.action == "rollback"
	not approvals.officer
}

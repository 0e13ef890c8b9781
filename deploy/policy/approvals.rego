# METADATA
# title: Which approvals count
# description: |
#   An approval is of what its approver was shown: it counts for the candidate's present evidence alone, and
#   never if it comes from somebody who has an interest in the candidate.
package veritas.approvals

import rego.v1

officer if count(people_as("risk_officer")) > 0

# Two people: somebody who has both roles fills one of them.
validator_and_officer if {
	some validator in people_as("model_validator")
	some risk_officer in people_as("risk_officer")
	validator != risk_officer
}

current contains approval if {
	some approval in input.approvals
	approval.evidence == input.candidate.evidence
}

conflict[input.owner] := "its owner"

conflict[author] := "its author" if {
	some author in input.authors
	author != input.owner
}

conflict[input.actor.name] := "who triggered the run that asks" if {
	not input.automatic == false
	not input.actor.name in input.authors
	input.actor.name != input.owner
}

people_as(role) := {approval.approver |
	some approval in current
	approval.role == role
	not conflict[approval.approver]
}

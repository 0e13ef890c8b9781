# METADATA
# title: Whether the rules of the lifecycle say what they are expected to say
# description: Apart from the cases, because the engine in process cannot read the word with.
package veritas.lifecycle_test

import rego.v1

import data.veritas.lifecycle
import data.veritas.lifecycle_cases

test_every_case_is_decided_as_it_says if count(wrong) == 0

wrong contains name if {
	some name, expected in lifecycle_cases.cases
	not as_expected(expected)
}

as_expected(expected) if {
	decided := lifecycle.decision with input as expected.input
	decided.reasons == expected.reasons
	decided.allowed == (count(expected.reasons) == 0)
}

test_a_decision_names_the_files_that_made_it if {
	decided := lifecycle.decision with input as lifecycle_cases.question
		with data.veritas.policy.files as {"lifecycle.rego": "5ea1"}
	decided.files == {"lifecycle.rego": "5ea1"}
}

test_without_an_input_nothing_is_allowed if {
	lifecycle.decision.allowed == false
	lifecycle.decision.reasons == ["input is missing: give an object with the fields of the question"]
}

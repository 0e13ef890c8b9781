# METADATA
# title: Whether a question that is not complete is answered as it should be
package veritas.question_test

import rego.v1

import data.veritas.lifecycle_test
import data.veritas.question_cases

test_every_case_is_decided_as_it_says if count(wrong) == 0

wrong contains name if {
	some name, expected in question_cases.cases
	not lifecycle_test.as_expected(expected)
}

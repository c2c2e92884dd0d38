# SPDX-License-Identifier: MIT
from mutants import Mutant

MUTANTS = [
]

strata {
  edition = 2 # ERROR: Unknown edition
  version = 1 # ERROR: Unknown attribute
}

strata {} # ERROR: Missing attribute

strata { edition = null } # ERROR: Unsuitable value

strata { edition = 1 }

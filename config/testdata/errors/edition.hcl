strata {
  edition = 2 # ERROR: Unknown edition
  version = 1 # ERROR: Unknown attribute
}

strata {}

strata { edition = null } # ERROR: Unsuitable value

strata { edition = 1 }
